"""Parses a subcommand's options into a validated pydantic model, with errors that name the option."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console

from cluster.state.folder import write_json
from distill.config import Section
from distill.errors import RunError

Options = TypeVar("Options", bound=Section)


def write_or_print(out: Path, document: Any, console: Console) -> None:
    """Write what took long to find out as JSON; print it where that fails after all, so that it is not lost.

    Raises:
        RunError: if it was printed.
    """
    try:
        write_json(out, document)
    except OSError as error:
        console.print_json(data=document)
        raise RunError(
            f"out: {out} cannot be written: {error.strerror}; what belongs into it is printed above"
        ) from error


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
    options = tyro.cli(
        kind,
        args=list(arguments),
        prog=f"distill {name}",
        description=description,
        default=default,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    assert isinstance(options, kind), "tyro fills the type that it is given"
    return options
