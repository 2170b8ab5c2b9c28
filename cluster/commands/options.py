"""Parses a subcommand's options into a validated pydantic model, with errors that name the option."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import tyro
from rich.console import Console
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

from cluster.commands.help_output import help_output
from cluster.state.folder import write_json
from distill.config import Section
from distill.errors import RunError
from distill.setting_values import meant_path, meant_whole_number
from distill.words import shown

Options = TypeVar("Options", bound=Section)
Value = TypeVar("Value")

_STYLE = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.PositionalMetavarFromFieldName,
    tyro.conf.HelptextFromCommentsOff,  # comments are for those who read the source
)
_VALUES = ConstructorRegistry()
"""How words of the command line become values: as the texts of YAML files do, so `1e6` and `~/runs` mean the same."""


class _Kind(Protocol):
    """A `PrimitiveTypeInfo`, which does not say which types it may be for."""

    @property
    def type(self) -> object: ...


_Rule = Callable[[_Kind], PrimitiveConstructorSpec[Any] | None]


class _Rules(Protocol):
    """A `ConstructorRegistry`, which does not say what its rules may make."""

    def primitive_rule(self, rule: _Rule, /) -> _Rule: ...


@cast(_Rules, _VALUES).primitive_rule
def _whole_number(kind: _Kind) -> PrimitiveConstructorSpec[int] | None:
    return _read("INT", int, meant_whole_number) if kind.type is int else None


@cast(_Rules, _VALUES).primitive_rule
def _path(kind: _Kind) -> PrimitiveConstructorSpec[Path] | None:
    return _read("PATH", Path, meant_path) if kind.type is Path else None


def _read(metavar: str, kind: type[Value], meant: Callable[[str], Value]) -> PrimitiveConstructorSpec[Value]:
    def from_words(words: list[str]) -> Value:
        try:
            return meant(words[0])
        except ValueError as error:
            raise ValueError(f"{error}, found {shown(words[0])}") from error

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=from_words,
        is_instance=lambda value: isinstance(value, kind) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


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
    with help_output():
        options = tyro.cli(
            kind,
            args=list(arguments),
            prog=f"distill {name}",
            description=description,
            default=default,
            config=_STYLE,
            registry=_VALUES,
        )
    assert isinstance(options, kind), "tyro fills the type that it is given"
    return options


def completion_script(commands: Mapping[str, type[Section]], shell: str) -> str:
    """Return the script by which a shell completes `distill`.

    Args:
        commands: the options of each subcommand.
        shell: `bash`, `zsh` or `fish`.
    """
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(
            dict(commands),
            prog="distill",
            args=["--tyro-write-completion", shell, "-"],
            config=_STYLE,
            registry=_VALUES,
        )
    return script.getvalue()
