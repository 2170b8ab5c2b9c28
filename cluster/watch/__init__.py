"""A live page of a run: a server that reads the run's folder and plays its models, and the page's files."""
