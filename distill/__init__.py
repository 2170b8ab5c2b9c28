"""The method: games, networks, losses, teachers, chunks, scores and configuration.

Nothing here knows Ray, Redis or Prometheus. `load_student` is all that a user of a trained student needs.
"""

import os

# At its import onnxruntime would put a device id and a database of events into HOME.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from distill.student import Student, load_student

__all__ = ["Student", "load_student"]
