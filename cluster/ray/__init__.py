"""Ray itself: a cluster that is there, or one of the run's own, and the files that launch it on machines."""
