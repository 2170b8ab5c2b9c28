"""Learns for Policy Distillery: replay, feed, limiter, learners, checkpoints.

Knows `distill` alone; Ray is in `learner.remote`.
"""
