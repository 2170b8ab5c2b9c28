"""Runs the system on machines: command line, buffer service, model registry, supervision and launch."""

import os

# At its import onnxruntime would put a device id and a database of events into HOME, and send them.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
