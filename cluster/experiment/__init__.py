"""The paper's experiments, each one command: what is run, how often, and what its scores say."""
