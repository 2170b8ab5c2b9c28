"""What a run's files mean."""
