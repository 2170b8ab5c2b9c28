"""Parses a subcommand's options into a validated pydantic model, with errors that name the option."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from cluster.commands.help_output import help_output
from distill.config import Section
from distill.errors import ConfigError

Options = TypeVar("Options", bound=Section)


def require_folder(out: Path | None) -> None:
    """Check before hours of work that a file can be written at its end.

    Raises:
        ConfigError: if its folder does not exist.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"out: {out.absolute().parent} is no folder; make it first")


def parse_options(
    kind: type[Options], arguments: Sequence[str], name: str, description: str, default: Options | None = None
) -> Options:
    """Return the options of `distill NAME`.

    Args:
        kind: the model to fill.
        arguments: what follows the subcommand.
        name: the subcommand.
        description: first line of its help.
        default: values of the options that are not given.

    Raises:
        ConfigError: if a value is out of range.
        SystemExit: after --help, or with 2 for an unknown option.
    """
    with help_output():
        options = tyro.cli(
            kind,
            args=list(arguments),
            prog=f"distill {name}",
            description=description,
            default=default,
            config=(
                tyro.conf.OmitArgPrefixes,
                tyro.conf.PositionalMetavarFromFieldName,
                tyro.conf.HelptextFromCommentsOff,  # comments are for those who read the source
            ),
        )
    assert isinstance(options, kind), "tyro fills the type that it is given"
    return options
