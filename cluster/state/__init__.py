"""What is known of a run: its folder, its rows, its session."""
