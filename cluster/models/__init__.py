"""Versions of models, and which of them is the best."""
