"""Where a student loses: the states in which its choice costs most, as a page with clips."""
