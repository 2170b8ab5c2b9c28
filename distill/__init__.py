"""The method of Policy Distillery: games, networks, losses, teachers, chunks, scores and configuration.

Nothing here knows Ray, Redis or Prometheus. `load_student` is all that a user of a trained student needs.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# At its import onnxruntime would put a device id and a database of events into HOME.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from distill.student import Student, load_student

__all__ = ["Student", "load_student"]


def __getattr__(name: str) -> Any:
    """Import PyTorch only for those who want a student: it takes seconds, and `distill --help` has no use for it."""
    if name in __all__:
        return getattr(importlib.import_module("distill.student"), name)
    raise AttributeError(f"module 'distill' has no attribute {name!r}")
