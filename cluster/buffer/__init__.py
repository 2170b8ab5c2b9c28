"""The buffer service: a shared, bounded, per-game store of chunks in Redis Streams."""
