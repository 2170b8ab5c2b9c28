"""Reports of runs: one HTML file, made from what the runs' folders hold."""
