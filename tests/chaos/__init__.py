"""Breaks a run's parts on purpose, and checks from outside that nothing is lost, doubled or trained from a bad copy."""
