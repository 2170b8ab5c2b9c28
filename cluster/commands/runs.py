"""`distill runs`: list runs with their size here and in Redis, or delete one."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cluster.commands.options import parse_options
from cluster.models.promotions import latest_promotions
from cluster.output.shell import command_line
from cluster.state.folder import CONFIG, DELETED, EVALUATIONS, METRICS, RunFolder, open_any_run
from cluster.state.json_lines import read_lines
from cluster.state.removal import Removal, is_run
from distill.buffer_urls import BufferUrls, split_urls
from distill.config import Section, is_run_name
from distill.errors import BufferUnavailable, ConfigError, DistillError
from distill.protocols import STUDENT

# The client of Redis takes as long to import as all the rest, and most runs are in no Redis.
if TYPE_CHECKING:
    from cluster.buffer.stats import RunUsage


class RunsOptions(Section):
    """List runs with their size on disk and in Redis, or delete one."""

    root: Path = Path("runs")
    """Folder that holds the runs."""
    buffer: BufferUrls | None = None
    """URL of your own Redis, or several separated by commas, to see what runs keep there."""
    delete: str | None = None
    """Name of a run to delete: what it has written into its folder, and what it keeps in Redis; files of yours stay."""


def command(arguments: Sequence[str], console: Console) -> None:
    """List runs, or delete one."""
    options = parse_options(RunsOptions, arguments, "runs", RunsOptions.__doc__ or "")
    try:
        if options.delete is not None:
            _delete(options, options.delete, console)
        else:
            _list(options, console)
    except PermissionError as error:
        raise ConfigError(f"runs: {error.filename}: this user may not look there: {error.strerror}") from error


def _list(options: RunsOptions, console: Console) -> None:
    in_redis: dict[str, RunUsage] = {}
    if options.buffer is not None:
        from cluster.commands import runs_in_redis  # noqa: PLC0415 - see above

        in_redis = runs_in_redis.usage(split_urls(options.buffer))
    paths = sorted(options.root.iterdir()) if options.root.is_dir() else []
    # Hidden is what is being made.
    found = [(path, columns) for path in paths if path.name[0] != "." and (columns := _describe(path)) is not None]
    table = Table(caption=None if found or in_redis else f"no runs in {options.root}")
    for column in ("run", "state", "updates", "best", "disk MB", "Redis MB", "Redis chunks"):
        table.add_column(column, justify="left" if column in ("run", "state") else "right")
    for path, columns in found:
        table.add_row(path.name, *columns, *_redis_columns(in_redis.pop(path.name, None)))
    for name, usage in in_redis.items():
        table.add_row(name, "in Redis only", "", "", "", *_redis_columns(usage))
    console.print(table)


def _describe(path: Path) -> tuple[str, str, str, str] | None:
    """Return state, updates, best score and size of a run, as far as they can be read; None for what is no run."""
    folder = RunFolder(path)
    try:
        if not is_run(path):
            return None
    except PermissionError:
        return "not readable", "", "", ""
    if (path / DELETED).exists():
        state = "half deleted"
    elif folder.in_use():
        state = "running"
    elif folder.evaluation.exists() or folder.student.exists():
        state = "finished"
    else:
        state = "stopped"
    updates = _numbers(folder, METRICS, "updates")
    size = sum(_sizes(path))
    shown = f"{updates[-1]:,.0f}" if updates else "0"
    return state, shown, _best(folder), f"{size / 1e6:.1f}"


def _best(folder: RunFolder) -> str:
    """Return how good the best models are: of the student if there is one, with what they were promoted for."""
    promoted = latest_promotions(folder.path)
    shown = {STUDENT: promoted[STUDENT]} if STUDENT in promoted else promoted
    if shown:
        means = {game: score["mean"] for promotion in shown.values() for game, score in promotion.scores.items()}
        return ", ".join(f"{game} {mean:.1f}" for game, mean in means.items())
    # `distill run` of version 0.1.0 wrote a score, the mean ratio to the teachers, and promoted nothing.
    scores = _numbers(folder, EVALUATIONS, "score")
    return f"{max(scores):.2f} of the teachers" if scores else ""


def _numbers(folder: RunFolder, file: str, key: str) -> list[float]:
    """Return the finite numbers of that name in a file's lines; none where it cannot be read."""

    def number(row: Mapping[str, Any]) -> float:
        value = float(row[key])
        if not math.isfinite(value):
            raise ValueError(f"{key} is {value}")
        return value

    try:
        return read_lines(folder.path / file, number)[0]
    except OSError:
        return []


def _sizes(path: Path) -> Iterator[int]:
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                yield (Path(folder) / name).stat().st_size


def _redis_columns(usage: "RunUsage | None") -> tuple[str, str]:
    return ("", "") if usage is None else (f"{usage.bytes / 1e6:.1f}", f"{usage.chunks:,}")


def _delete(options: RunsOptions, name: str, console: Console) -> None:
    path = options.root / name
    if not is_run_name(name):
        raise ConfigError(
            f"run {name!r}: there is none in {options.root}: a run's name has letters, digits, dots, dashes and"
            " underscores alone, and is no path; `distill runs` lists them"
        )
    if path.is_symlink():
        raise ConfigError(
            f"run {name}: {path} is a link to {path.readlink()}; delete the run where it lies, then the link:"
            f" {command_line('distill', 'runs', '--root', path.resolve().parent, '--delete', path.resolve().name)}"
        )
    if not path.exists():
        keys, _ = _delete_keys(options.buffer, name, None)
        if not keys:
            raise ConfigError(f"run {name}: there is none in {options.root}; `distill runs` lists them")
        console.print(f"deleted {keys} keys in Redis")
        return
    _require_removable(path)
    folder = RunFolder(path.resolve())
    if folder.in_use():
        raise ConfigError(f"run {name}: it is running; stop it with ctrl-C first")
    with folder.claim():
        _delete_run(folder, options.buffer, console)


def _require_removable(path: Path) -> None:
    if not is_run(path):
        raise ConfigError(
            f"run {path.name}: {path} is no folder of a run, so nothing in it is deleted; `distill runs` lists the runs"
        )
    if path.is_mount():
        raise ConfigError(f"run {path.name}: {path} is a mount point; delete its files by hand, then unmount it")
    with suppress(FileNotFoundError):
        if Path.cwd().is_relative_to(path.resolve()):
            raise ConfigError(
                f"run {path.name}: this shell is in its folder; change to another one first, as by `cd ..`"
            )


def _delete_run(folder: RunFolder, urls: str | None, console: Console) -> None:
    # Of a damaged configuration it is not known; then what any run has claimed stays.
    run_id = ""
    try:
        run_id = folder.run_id()
        file = CONFIG if (folder.path / CONFIG).exists() else DELETED
        urls = urls or open_any_run(folder.path, file)[1].buffer.buffer
    except DistillError as error:
        console.print(f"its configuration is damaged, so what it may keep in a Redis stays: {error}", soft_wrap=True)
    removal = Removal.of(folder)
    removal.begin()
    try:
        keys, others = _delete_keys(urls, folder.name, run_id)
    except BaseException:
        removal.take_back()
        raise
    for other in others:
        console.print(f"{other}; its keys stay", soft_wrap=True)
    gone = removal.finish()
    for link in removal.links:
        console.print(f"{link.relative_to(folder.path)} was a link and is removed; what it names stays", soft_wrap=True)
    kept = ", ".join(str(path.relative_to(folder.path)) for path in removal.stays)
    left = "" if gone else f"; {folder.path} stays, with what is not the run's: {kept}"
    console.print(f"deleted run {folder.name}: its folder and {keys} keys in Redis{left}", soft_wrap=True)


def _delete_keys(urls: str | None, name: str, run_id: str | None) -> tuple[int, list[str]]:
    """Delete what a run keeps in these servers, as `runs_in_redis.delete` does."""
    if not urls:
        return 0, []
    from cluster.commands import runs_in_redis  # noqa: PLC0415 - see above

    try:
        return runs_in_redis.delete(split_urls(urls), name, run_id)
    except BufferUnavailable as error:
        raise ConfigError(f"run {name}: nothing is deleted, because its Redis does not answer: {error}") from error
