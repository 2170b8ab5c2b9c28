"""What reaches a terminal, a pipe or a file, and what never does."""
