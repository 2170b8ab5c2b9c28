"""Where the settings of a run come from: defaults, preset, a YAML file or the run's folder, and flags over them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from rich.console import Console

from cluster.commands.options import parse_options
from cluster.state.folder import open_run
from cluster.state.yaml_file import read_yaml
from distill.config import Config, RunConfig, Section, Settings, parse_settings
from distill.errors import ConfigError
from distill.setting_values import meant_path
from distill.teach_config import PRESETS, TeachConfig
from distill.words import shown

Options = TypeVar("Options", bound=Settings)


def start_or_resume(
    kind: type[RunConfig | TeachConfig], options: type[Options], arguments: Sequence[str], console: Console
) -> None:
    """Start a run, or go on with one.

    Args:
        kind: the subcommand's settings.
        options: these, with `config`, `resume` and `accept_loss` beside them; its docstring is the help's first line.
        arguments: what follows the subcommand.
        console: to tell on.

    Raises:
        DistillError: if a setting is wrong, or the run cannot start or go on.
        SystemExit: after --help, or with 2 for an unknown option.
    """
    config, resume, accept_loss = _settings(kind, options, arguments)
    # It takes seconds, which help and wrong options need not wait for.
    from cluster.run.start import resume_run, start_run  # noqa: PLC0415

    if resume is not None:
        resume_run(resume, config, console, accept_loss=accept_loss)
    else:
        start_run(config, console)


def _settings(kind: type[Config], options: type[Options], arguments: Sequence[str]) -> tuple[Config, Path | None, bool]:
    """Return the settings of a run, its folder if it is to be resumed, and whether lost checkpoints are accepted."""
    prog = f"distill {kind.command}"
    first = argparse.ArgumentParser(prog=prog, usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    first.add_argument("--resume")
    first.add_argument("--preset")
    given, _ = first.parse_known_args(list(arguments))
    if given.config is not None and given.resume is not None:
        raise ConfigError("--config and --resume: a resumed run has its own configuration; give one of the two")
    if given.resume is not None:
        _, settings = open_run(kind, _path("--resume", given.resume))
    else:
        named = {} if given.config is None else read_yaml(_path("--config", given.config))
        source = "the defaults" if given.config is None else str(given.config)
        settings = parse_settings(kind, _preset(kind, given.preset or named.get("preset")) | named, source)
    sections = kind.model_fields
    default = options(**{name: getattr(settings, name) for name in sections})
    parsed = cast(Any, parse_options(options, arguments, kind.command, (options.__doc__ or "").strip(), default))
    if parsed.accept_loss and parsed.resume is None:
        raise ConfigError("--accept-loss: only a run that is resumed can have lost anything; add --resume")
    return kind(**{name: getattr(parsed, name) for name in sections}), parsed.resume, parsed.accept_loss


def _path(option: str, written: str) -> Path:
    try:
        return meant_path(written)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}, found {shown(written)}") from error


def _preset(kind: type[Settings], name: Any) -> dict[str, Any]:
    """Return what a preset sets; nothing for one that is unknown, which validation refuses, or of a run without any."""
    if "preset" not in type(cast(Section, kind.model_fields["general"].default)).model_fields:
        return {}
    return next((settings for preset, settings in PRESETS.items() if preset == name), dict[str, Any]())
