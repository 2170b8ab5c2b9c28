"""The page on which a published network plays: one HTML file with recordings, network and onnxruntime-web in it."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from cluster.publish.runtime import Runtime

_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline'"
"""Lets the browser fetch nothing; the runtime is a module that the page makes of its own text."""


def player_page(name: str, model: bytes, recordings: Sequence[Mapping[str, Any]], runtime: Runtime) -> str:
    """Return the page.

    Args:
        name: of the model.
        model: ONNX file.
        recordings: of each game an episode, see `cluster.publish.episode.as_document`.
        runtime: onnxruntime-web.
    """
    held = {
        "name": _json(name),
        "recordings": _json(list(recordings)),
        "model": _base64(model),
        "runtime": _base64(runtime.module),
        "runtime-wasm": _base64(gzip.compress(runtime.wasm, mtime=0)),
    }
    texts = "\n".join(f'<script type="text/plain" id="{key}">{value}</script>' for key, value in held.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Policy Distillery</title>
<style>
{_file("play.css")}</style>
</head>
<body>
{_file("play.html")}{texts}
<script type="module">
{_file("play.js")}</script>
</body>
</html>
"""


def _file(name: str) -> str:
    return files("cluster.publish").joinpath("page", name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    # What a name contains must not end the element.
    return json.dumps(value).replace("<", "\\u003c")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
