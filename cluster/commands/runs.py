"""`distill runs`: list runs with their size here and in Redis, or delete one."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cluster.buffer.connection import connect, reaching
from cluster.buffer.stats import RunUsage, delete_run, list_runs
from cluster.commands.options import parse_options
from cluster.run_folder import CONFIG, RunFolder, open_any_run
from cluster.run_session import EVALUATIONS, METRICS
from distill.buffer_urls import BufferUrls, split_urls
from distill.config import Section
from distill.errors import BufferUnavailable, ConfigError, DistillError


class RunsOptions(Section):
    """List runs with their size on disk and in Redis, or delete one."""

    root: Path = Path("runs")
    """Folder that holds the runs."""
    buffer: BufferUrls | None = None
    """URL of your own Redis, or several separated by commas, to see what runs keep there."""
    delete: str | None = None
    """Name of a run to delete, its folder and what it keeps in Redis."""


def command(arguments: Sequence[str], console: Console) -> None:
    """List runs, or delete one."""
    options = parse_options(RunsOptions, arguments, "runs", RunsOptions.__doc__ or "")
    if options.delete is not None:
        _delete(options, options.delete, console)
        return
    in_redis = _usage(options.buffer)
    folders = sorted(path.parent for path in options.root.glob(f"*/{CONFIG}"))
    table = Table(caption=None if folders or in_redis else f"no runs in {options.root}")
    for column in ("run", "state", "updates", "best", "disk MB", "Redis MB", "Redis chunks"):
        table.add_column(column, justify="left" if column in ("run", "state") else "right")
    for path in folders:
        usage = in_redis.pop(path.name, None)
        table.add_row(*_describe(RunFolder(path)), *_redis_columns(usage))
    for name, usage in in_redis.items():
        table.add_row(name, "in Redis only", "", "", "", *_redis_columns(usage))
    console.print(table)


def _usage(urls: str | None) -> dict[str, RunUsage]:
    found: dict[str, RunUsage] = {}
    for url in split_urls(urls) if urls else ():
        with connect(url) as client:
            for usage in list_runs(client):
                found[usage.run] = found[usage.run] + usage if usage.run in found else usage
    return found


def _describe(folder: RunFolder) -> tuple[str, str, str, str, str]:
    if folder.in_use():
        state = "running"
    elif folder.evaluation.exists() or folder.student.exists():
        state = "finished"
    else:
        state = "stopped"
    metrics = folder.rows(METRICS)
    scores = [row["score"] for row in folder.rows(EVALUATIONS) if "score" in row]
    size = sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())
    updates = f"{metrics[-1]['updates']:,}" if metrics else "0"
    return folder.name, state, updates, f"{max(scores):.2f}" if scores else "", f"{size / 1e6:.1f}"


def _redis_columns(usage: RunUsage | None) -> tuple[str, str]:
    return ("", "") if usage is None else (f"{usage.bytes / 1e6:.1f}", f"{usage.chunks:,}")


def _delete(options: RunsOptions, name: str, console: Console) -> None:
    path = options.root / name
    urls = options.buffer
    exists = Path(name).name == name and (path / CONFIG).is_file()
    if exists:
        folder = RunFolder(path)
        if folder.in_use():
            raise ConfigError(f"run {name}: it is running; stop it with ctrl-C first")
        try:
            urls = urls or open_any_run(path)[1].buffer.buffer
        except DistillError as error:
            console.print(
                f"its configuration is damaged, so what it may keep in a Redis stays: {error}", soft_wrap=True
            )
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(url)) for url in (split_urls(urls) if urls else ())]
        try:
            # One that is away is found out before anything is deleted at another.
            for client in clients:
                with reaching(client, "delete a run"):
                    client.ping()
            keys = sum(delete_run(client, name) for client in clients)
        except BufferUnavailable as error:
            raise ConfigError(f"run {name}: nothing is deleted, because its Redis does not answer: {error}") from error
    if not exists and not keys:
        raise ConfigError(f"run {name}: there is none in {options.root}; `distill runs` lists them")
    if exists:
        shutil.rmtree(path)
    console.print(
        f"deleted run {name}: its folder and {keys} keys in Redis" if exists else f"deleted {keys} keys in Redis",
        soft_wrap=True,
    )
