"""`distill run`: distil teachers into one student."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.commands.options import parse_options
from cluster.run_folder import open_run, read_yaml
from cluster.runner import resume_run, start_run
from distill.config import RunConfig, parse_settings
from distill.errors import ConfigError


class RunOptions(RunConfig):
    """Distil trained teachers into one student."""

    config: Path | None = None
    """YAML file with any of these options by name; flags win over it."""
    resume: Path | None = None
    """Folder of a run to go on with; its configuration is taken from there, and flags win over it."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Start or resume a run."""
    first = argparse.ArgumentParser(prog="distill run", usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    first.add_argument("--resume", type=Path)
    files, _ = first.parse_known_args(list(arguments))
    if files.config is not None and files.resume is not None:
        raise ConfigError("--config and --resume: a resumed run has its own configuration; give one of the two")
    settings = RunConfig()
    if files.resume is not None:
        _, settings = open_run(files.resume)
    elif files.config is not None:
        settings = parse_settings(read_yaml(files.config), str(files.config))
    sections = RunConfig.model_fields
    default = RunOptions(**{name: getattr(settings, name) for name in sections})
    options = parse_options(RunOptions, arguments, "run", "Distil trained teachers into one student.", default)
    config = RunConfig(**{name: getattr(options, name) for name in sections})
    if options.resume is not None:
        resume_run(options.resume, config, console)
    else:
        start_run(config, console)
