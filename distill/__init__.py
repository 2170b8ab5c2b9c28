"""The method: games, networks, losses, teachers, chunks, scores and configuration.

Nothing here knows Ray, Redis or Prometheus. `load_student` is all that a user of a trained student needs.
"""

from distill.student import Student, load_student

__all__ = ["Student", "load_student"]
