"""`distill data`: list a recording, verify it, or merge it with others."""

from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from cluster.analysis.recording_table import recording_table
from cluster.commands.options import parse_options
from distill.config import Section
from distill.errors import ConfigError, RunError
from distill.recording import Recording
from distill.recording_changes import merge


class DataOptions(Section):
    """List what a recording of `distill record` holds; verify it, or merge it with others into a new one."""

    folder: tyro.conf.Positional[Path]
    """Folder of the recording."""
    verify: bool = False
    """Compare every file with its checksum, and name those that are damaged."""
    merge: tuple[Path, ...] = ()
    """Folders of other recordings, whose copies go with this one's into --out."""
    out: Path | None = None
    """Folder to make of them."""


def command(arguments: Sequence[str], console: Console) -> None:
    """List, verify or merge."""
    options = parse_options(DataOptions, arguments, "data", DataOptions.__doc__ or "")
    if bool(options.merge) != (options.out is not None):
        raise ConfigError("--merge and --out: name the other recordings with --merge, and the new folder with --out")
    if options.out is not None:
        recording = merge((options.folder, *options.merge), options.out)
    else:
        recording = Recording.open(options.folder)
    console.print(recording_table(recording))
    for remark in recording.remarks():
        console.print(remark, soft_wrap=True)
    if options.verify:
        damages = recording.damages(recording.games)
        if damages:
            raise RunError(f"{len(damages)} files are damaged: {'; '.join(damages)}")
        console.print("verified: every file is as it was written")
