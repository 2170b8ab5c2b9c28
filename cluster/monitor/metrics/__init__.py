"""What a run tells Prometheus: the metrics by name, the endpoint that serves them, and their reference page."""
