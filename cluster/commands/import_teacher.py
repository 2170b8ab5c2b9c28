"""`distill import-teacher`: turn another library's file into a teacher."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from cluster.commands.options import parse_options
from cluster.output.shell import command_line
from distill.architectures import Support
from distill.config import Section
from distill.conversion import Told
from distill.errors import ConfigError
from distill.evaluation_protocols import ProtocolName, trained_under
from distill.files import require_writable
from distill.game_names import GameName
from distill.importing import import_teacher
from distill.model_card import ModelCard, is_model_file
from distill.models import save_model


class ImportOptions(Section):
    """Turn a DQN or QR-DQN of Stable-Baselines3, or another library's DQN or C51, into a teacher."""

    source: tyro.conf.Positional[Path]
    """The file to read, or a folder or zip that holds it; nothing in it is executed."""
    game: Annotated[GameName, tyro.conf.arg(aliases=["-g"])]
    """The game it plays: ROM name such as space_invaders, or an id such as SpaceInvadersNoFrameskip-v4."""
    protocol: ProtocolName | None = None
    """Under which it was trained; found out for files of Stable-Baselines3 and CleanRL."""
    out: Path | None = None
    """Teacher file to write; teachers/GAME.safetensors if absent."""
    dtype: Literal["float16", "float32"] = "float32"
    """How the weights are stored; float16 halves the file and changes the q-values in the third digit."""
    support: tuple[float, float, int] | None = None
    """Lowest and highest return of a C51 and their number, if its file does not say them; -10 10 51 is usual."""
    overwrite: bool = False
    """Replace the file if it is a model file."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Import a teacher."""
    options = parse_options(ImportOptions, arguments, "import-teacher", ImportOptions.__doc__ or "")
    out = options.out or Path("teachers") / f"{options.game}.safetensors"
    if out.is_file() and not options.overwrite:
        raise ConfigError(f"out: {out} exists; choose another --out, or --overwrite it")
    if out.absolute().parent.is_dir():
        require_writable("out", out, ours=is_model_file, kind="a model file")
    network, card = import_teacher(options.source, options.game, _told(options))
    if options.protocol is not None:
        card = replace(card, training=card.training | {"protocol": options.protocol})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out: cannot make {out.parent}: {error.strerror}") from error
    save_model(out, network, card, options.dtype)
    source = card.training["imported_from"]
    for what in source.get("folded", ()):
        console.print(f"folded: {what}", soft_wrap=True)
    if "left_out" in source:
        left_out = ", ".join(source["left_out"])
        console.print(
            f"took {source.get('prefix') or 'the network'}, left out {left_out}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
    console.print(
        f"{out}: {options.game}, {network.parameter_count():,} parameters. It has no score yet:"
        f" {command_line('distill', 'evaluate', out, '--episodes', '200', '--write-card')}",
        soft_wrap=True,
    )
    _tell_protocol(out, card, console)


def _told(options: ImportOptions) -> Told:
    if options.support is None:
        return Told()
    support = Support(*options.support)
    if not (support.low < support.high and support.atoms > 1):
        raise ConfigError(
            f"support: expected the lowest and the highest of two returns or more, and how many, found {support.low:g}"
            f" {support.high:g} {support.atoms}"
        )
    return Told(support)


def _tell_protocol(out: Path, card: ModelCard, console: Console) -> None:
    protocol = trained_under(card.training)
    if protocol is None:
        console.print("Its protocol is not known; name it with --protocol, if you know it.", soft_wrap=True)
    else:
        words = command_line("distill", "evaluate", out, "--protocol", protocol.name, "--reported", "SCORE")
        console.print(
            f"Trained under protocol {protocol.name}; compare with its author's score: {words}", soft_wrap=True
        )
