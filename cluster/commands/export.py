"""`distill export`: write a model as ONNX."""

from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from cluster.commands.options import parse_options
from distill.config import Section
from distill.files import begins_with, require_writable
from distill.game_names import Games
from distill.models import load_model
from distill.onnx_graph import PRODUCER, export_onnx


class ExportOptions(Section):
    """Write a student or teacher as ONNX, with uint8 observations as input and one output of q-values a game."""

    model: tyro.conf.Positional[Path]
    """Native model file, such as runs/NAME/student.safetensors."""
    out: tyro.conf.Positional[Path]
    """ONNX file to write."""
    games: Games = ()
    """Games to keep; all if empty."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Export a model."""
    options = parse_options(ExportOptions, arguments, "export", ExportOptions.__doc__ or "")
    require_writable("out", options.out, ours=_is_export, kind="an ONNX file of `distill export`")
    network, _ = load_model(options.model)
    export_onnx(options.out, network, options.games)
    console.print(f"{options.out}: {', '.join(options.games or network.actions)}", soft_wrap=True)


def _is_export(path: Path) -> bool:
    return begins_with(path, PRODUCER.encode())
