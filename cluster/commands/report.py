"""`distill report`: one HTML file about one run or several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console

from cluster.analysis.run_data import read_runs
from cluster.commands.options import parse_options
from cluster.report.page import GENERATOR, document
from distill.config import Section
from distill.errors import ConfigError, RunError
from distill.files import begins_with, require_writable, write_atomically


class ReportOptions(Section):
    """Write one self-contained HTML file about runs: scores, curves, films, times and what differs between them."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the runs; they may be finished or not."""
    out: Path = Path("report.html")
    """File to write; an older report is replaced, another file is not."""
    video_megabytes: Annotated[float, Field(ge=0.0, le=1_000.0)] = 20.0
    """Most megabytes of films to put into it; what does not fit is named instead."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Write a report."""
    options = parse_options(ReportOptions, arguments, "report", ReportOptions.__doc__ or "")
    if not options.runs:
        raise ConfigError("report: name the folder of a run, or of several; `distill runs` lists them")
    require_writable("out", options.out, ours=_is_report, kind="a report of `distill report`")
    runs = read_runs(options.runs)
    text = document(runs, round(options.video_megabytes * 1e6))
    try:
        write_atomically(options.out, text.encode())
    except OSError as error:
        raise RunError(f"report {options.out}: cannot be written: {error.strerror}; check the folder") from error
    console.print(f"report: {options.out} ({len(text) / 1e6:.1f} MB)", soft_wrap=True)


def _is_report(path: Path) -> bool:
    return begins_with(path, GENERATOR.encode())
