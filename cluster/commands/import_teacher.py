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
from distill.conversion import Pixels, Told
from distill.errors import ConfigError
from distill.evaluation_protocols import ProtocolName, trained_under
from distill.files import require_writable
from distill.game_names import GameName
from distill.hub import SCHEME, fetch
from distill.importing import import_teacher
from distill.label_graph import LabelGraph, graph_bytes
from distill.model_card import Labels, ModelCard, is_model_file, write_model_file
from distill.models import save_model
from distill.networks import QNetwork


class ImportOptions(Section):
    """Turn a DQN, QR-DQN, PPO or A2C of Stable-Baselines3, or another library's network, into a teacher."""

    source: tyro.conf.Positional[Path]
    """The file to read, or a folder or zip that holds it, or hf:OWNER/NAME[@REVISION][:FILE]; no code in it is run."""
    game: Annotated[GameName, tyro.conf.arg(aliases=["-g"])]
    """The game it plays: ROM name such as space_invaders, or an id such as SpaceInvadersNoFrameskip-v4."""
    protocol: ProtocolName | None = None
    """Under which it was trained; found out for files of Stable-Baselines3 and CleanRL."""
    out: Path | None = None
    """Teacher file to write; teachers/GAME.safetensors if absent."""
    dtype: Literal["float16", "float32"] = "float32"
    """How weights are stored; float16 halves the file and changes q-values in the third digit. ONNX stays as it is."""
    labels: Labels | None = None
    """What the outputs are, if names do not say it: q-values, or logits of a policy."""
    pixels: Pixels | None = None
    """What an ONNX graph of floats takes that does not divide by 255 itself: raw pixels, or scaled to 1."""
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
    network, card = _imported(options)
    if options.protocol is not None:
        card = replace(card, training=card.training | {"protocol": options.protocol})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out: cannot make {out.parent}: {error.strerror}") from error
    if isinstance(network, LabelGraph):
        write_model_file(out, graph_bytes(network, card))
        parameters = network.parameters
    else:
        save_model(out, network, card, options.dtype)
        parameters = network.parameter_count()
    source = card.training["imported_from"]
    for what in source.get("folded", ()):
        console.print(f"folded: {what}", soft_wrap=True)
    for what in source.get("seen", ()):
        console.print(what, soft_wrap=True, markup=False, highlight=False)
    if "left_out" in source:
        left_out = ", ".join(source["left_out"])
        console.print(
            f"took {source.get('prefix') or 'the network'}, left out {left_out}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
    if card.labels == "logits":
        console.print("labels: logits of a policy; students learn them by kl with tau 1, not by mse")
    console.print(
        f"{out}: {options.game}, {parameters:,} parameters. It has no score yet:"
        f" {command_line('distill', 'evaluate', out, '--episodes', '200', '--write-card')}",
        soft_wrap=True,
    )
    _tell_protocol(out, card, console)


def _imported(options: ImportOptions) -> tuple[QNetwork | LabelGraph, ModelCard]:
    source = str(options.source)
    if not source.startswith(SCHEME):
        return import_teacher(options.source, options.game, _told(options))
    fetched = fetch(source)
    network, card = import_teacher(fetched.path, options.game, _told(options))
    imported = card.training["imported_from"] | fetched.record()
    return network, replace(card, training=card.training | {"imported_from": imported})


def _told(options: ImportOptions) -> Told:
    if options.support is None:
        return Told(labels=options.labels, pixels=options.pixels)
    support = Support(*options.support)
    if not (support.low < support.high and support.atoms > 1):
        raise ConfigError(
            f"support: expected the lowest and the highest of two returns or more, and how many, found {support.low:g}"
            f" {support.high:g} {support.atoms}"
        )
    return Told(support, options.labels, options.pixels)


def _tell_protocol(out: Path, card: ModelCard, console: Console) -> None:
    protocol = trained_under(card.training)
    if protocol is None:
        console.print("Its protocol is not known; name it with --protocol, if you know it.", soft_wrap=True)
    else:
        words = command_line("distill", "evaluate", out, "--protocol", protocol.name, "--reported", "SCORE")
        console.print(
            f"Trained under protocol {protocol.name}; compare with its author's score: {words}", soft_wrap=True
        )
