"""Learns: replay, feed, limiter, student learner, checkpoints. Knows `distill` alone; Ray is in `learner.remote`."""
