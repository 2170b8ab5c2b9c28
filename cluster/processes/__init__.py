"""Child processes: how they end with their parent, and the private folders that their sockets lie in."""
