"""Learns for Policy Distillery: replay, feed, limiter, updates, checkpoints. Knows `distill` alone."""
