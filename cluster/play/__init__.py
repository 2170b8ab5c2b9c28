"""Models at play, for people to look at: on a terminal, in a film, on a live page."""
