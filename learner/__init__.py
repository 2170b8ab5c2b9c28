"""Learns: replay, feed, limiter, updates, checkpoints. Knows `distill` alone; Ray is in `learner.remote`."""
