"""Runs with a Q-learner: `distill teach`, and `distill online` with a student beside it."""
