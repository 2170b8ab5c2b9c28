"""What a run tells while it lives."""
