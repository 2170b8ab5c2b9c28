"""`distill import-teacher`: turn another library's file into a teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from cluster.commands.options import parse_options
from cluster.shell import command_line
from distill.config import Section
from distill.errors import ConfigError
from distill.importing import import_teacher
from distill.models import save_model


class ImportOptions(Section):
    """Turn a Stable-Baselines3 zip, or a state dict of three convolutions and two linear layers, into a teacher."""

    source: tyro.conf.Positional[Path]
    """The file to read; nothing in it is executed."""
    game: Annotated[str, tyro.conf.arg(aliases=["-g"])]
    """ROM name of the game it plays, such as space_invaders."""
    out: Path | None = None
    """Teacher file to write; teachers/GAME.safetensors if absent."""
    dtype: Literal["float16", "float32"] = "float32"
    """How the weights are stored; float16 halves the file and changes the q-values in the third digit."""
    overwrite: bool = False
    """Replace the file if it exists."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Import a teacher."""
    options = parse_options(ImportOptions, arguments, "import-teacher", ImportOptions.__doc__ or "")
    out = options.out or Path("teachers") / f"{options.game}.safetensors"
    if out.exists() and not options.overwrite:
        raise ConfigError(f"out: {out} exists; choose another --out, or --overwrite it")
    network, card = import_teacher(options.source, options.game)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out: cannot make {out.parent}: {error.strerror}") from error
    save_model(out, network, card, options.dtype)
    console.print(
        f"{out}: {options.game}, {network.parameter_count():,} parameters. It has no score yet:"
        f" {command_line('distill', 'evaluate', out, '--episodes', '200', '--write-card')}",
        soft_wrap=True,
    )
