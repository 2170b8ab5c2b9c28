"""The Redis server itself: connections, credentials, rights, keys, scripts, a run's own server."""
