"""What tests share: examples, made runs, real servers and programs."""
