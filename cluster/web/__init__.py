"""What is common to all that is served over HTTP: a server whose clients can hold little of it, and who may ask it."""
