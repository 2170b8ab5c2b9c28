"""`distill bench`: measure this machine against bare loops."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field
from rich.console import Console
from rich.table import Table

from cluster.bench.machine import describe_machine
from cluster.bench.rows import Row
from cluster.bench.suite import Suite
from cluster.commands.options import parse_options, write_or_print
from distill.config import Section
from distill.files import begins_with, require_writable
from distill.game_names import GameName
from distill.teachers import choose_teachers

log = logging.getLogger(__name__)

Measurement = Literal[
    "collector", "learner", "together", "teach", "buffer", "gather", "compressed", "memory", "recorded", "monitoring"
]


class BenchOptions(Section):
    """Measure this system beside bare loops that do only the arithmetic, in one run; medians of several rounds."""

    only: tuple[Measurement, ...] = get_args(Measurement)
    """Measurements to make."""
    game: GameName = "pong"
    """Game of the teacher to measure with."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them."""
    rounds: Annotated[int, Field(ge=1, le=100)] = 5
    """Rounds of every comparison; the two sides take turns."""
    seconds: Annotated[float, Field(gt=0.0, le=600.0)] = 4.0
    """Length of one measurement."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """Device of the learner; on CUDA devices the bare learners are CUDA graphs, and rates are updates per second."""
    out: Path | None = None
    """JSON file for all figures; older ones are replaced, another file is not."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Measure and print."""
    options = parse_options(BenchOptions, arguments, "bench", BenchOptions.__doc__ or "")
    require_writable("out", options.out, ours=_is_bench, kind="figures of `distill bench`")
    teacher = choose_teachers(options.teachers, (options.game,))[options.game]
    suite = Suite(options.game, teacher.path.read_bytes(), options.rounds, options.seconds, options.device, log.info)
    rows: list[Row] = []
    for name in options.only:
        rows += getattr(suite, name)()
    console.print(_table(rows, options))
    if options.out is not None:
        figures = {"machine": describe_machine(options.device), "rows": [asdict(row) for row in rows]}
        write_or_print(options.out, figures, console)


def _is_bench(path: Path) -> bool:
    return begins_with(path, b'"machine":', b'"rows":')


def _table(rows: Sequence[Row], options: BenchOptions) -> Table:
    caption = f"{describe_machine(options.device)}; medians of {options.rounds} rounds of {options.seconds:g} s"
    table = Table(caption=caption, caption_justify="left")
    for column in ("measurement", "this system", "bare loop", "unit", "ratio", "bar"):
        table.add_column(column, justify="left" if column in ("measurement", "unit", "bar") else "right")
    for row in rows:
        digits = 0 if row.ours >= 1000 else 2
        table.add_row(
            row.what,
            f"{row.ours:,.{digits}f}",
            "" if row.bare is None else f"{row.bare:,.{digits}f}",
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.3f}",
            row.bar,
        )
    return table
