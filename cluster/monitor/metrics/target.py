"""Tells Prometheus where a run is: a file of its file-based service discovery, there as long as the run."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from distill.files import write_atomically


@contextmanager
def announced(folder: Path, run: str, address: str) -> Generator[Path]:
    """Write `folder`/`run`.json with the address to scrape, and remove it at the end.

    A run that is killed leaves its file behind: Prometheus then finds nobody there, and MetricsAbsent says so.

    Args:
        folder: that Prometheus watches, made if absent; docker/prometheus/prometheus.yml names it.
        run: the run's name, which becomes the label `run` of all that is scraped.
        address: `host:port` as Prometheus reaches it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run}.json"
    write_atomically(path, json.dumps([{"targets": [address], "labels": {"run": run}}]).encode())
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
