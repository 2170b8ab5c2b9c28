"""Tells Prometheus where a run is: a file of its file-based service discovery, there as long as the run."""

import contextlib
import json
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

from distill.errors import ConfigError, RunError
from distill.files import require_writable, write_atomically

_OPTION = "metrics_targets"
_ALL_ADDRESSES = ("0.0.0.0", "[::]")


@contextlib.contextmanager
def announced(folder: Path, run: str, address: str) -> Generator[Path]:
    """Write `folder`/`run`.json with the address to scrape, and remove it at the end.

    A run that is killed leaves its file behind: Prometheus then finds nobody there, and MetricsAbsent says so.

    Args:
        folder: that Prometheus watches, made if absent; docker/prometheus/prometheus.yml names it.
        run: the run's name, which becomes the label `run` of all that is scraped.
        address: `host:port` that is listened on. For all addresses this machine's host name is written, by which
            Prometheus may reach it.

    Raises:
        DistillError: if it cannot be written, or would replace a file that is no run's.
    """
    path = folder / f"{run}.json"
    host, _, port = address.rpartition(":")
    if host in _ALL_ADDRESSES:
        address = f"{socket.gethostname()}:{port}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_ours(path)
        write_atomically(path, json.dumps([{"targets": [address], "labels": {"run": run}}]).encode())
    except OSError as error:
        raise RunError(f"{_OPTION}: {path} cannot be written: {error.strerror}; choose another folder") from error
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def require_target(folder: Path, run: str | None) -> None:
    """Check that `announced` can write there.

    Args:
        folder: that Prometheus watches; it may be made yet.
        run: the run's name, if it is known by now.

    Raises:
        ConfigError: if it cannot.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{_OPTION}: {there} is no folder; choose another one")
    path = there / f"{run or 'run'}.json"
    require_writable(_OPTION, path)
    if run is not None:
        _require_ours(path)


def _require_ours(path: Path) -> None:
    """Refuse to replace, and later to remove, a file that no run has written. Raises ConfigError."""
    try:
        found: Any = json.loads(path.read_bytes())
        ours = [sorted(target) for target in found] == [["labels", "targets"]] and list(found[0]["labels"]) == ["run"]
    except FileNotFoundError:
        return
    except (LookupError, OSError, RecursionError, TypeError, ValueError):
        ours = False
    if not ours or path.is_symlink():
        raise ConfigError(
            f"{_OPTION}: {path} exists and is no run's; choose another folder or --name, or move the file away"
        )
