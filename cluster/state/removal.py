"""Removes what this program has put into a run's folder, and nothing else."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

from cluster.state.folder import (
    CONFIG,
    DELETED,
    ENVIRONMENT,
    EVALUATIONS,
    LOCK,
    LOG,
    METRICS,
    SITTINGS,
    RunFolder,
    read_yaml,
)
from distill.errors import ConfigError, RunError
from distill.files import TEMPORARY

Made: TypeAlias = "Mapping[str, Made | None]"
"""Regular expressions of names in a folder, with what is in those that are folders, and None for files."""


def _files(*names: str) -> dict[str, None]:
    return {re.escape(name): None for name in names}


_UNFINISHED = {re.escape(TEMPORARY).replace(r"\*", "[0-9a-f]+"): None}
_CHECKPOINTS: Made = {
    r"checkpoint-\d+\.safetensors(\.damaged)?": None,
    **_files("manifest.json", ".lock"),
    **_UNFINISHED,
}
_MODELS: Made = {
    r"\d+(\.aside)?\.safetensors": None,
    r"\d+\.json": None,
    **_files("names.json", "ledger.json", ".lock"),
    **_UNFINISHED,
}
_REDIS: Made = {
    **_files("redis.log", "server.lock", "server.json", "appendonly.aof"),
    r"temp-.*\.(aof|rdb)": None,
    "appendonlydir": {r"(temp-)?appendonly\.aof\..*": None},
    **_UNFINISHED,
}
_RUN: Made = {
    **_files(CONFIG, DELETED, LOCK, ENVIRONMENT, LOG, METRICS, EVALUATIONS, SITTINGS, "actors.json", "progress.json"),
    **_files("evaluation.json", "table.md", "student.safetensors", "learning_curve.png", "picture.png"),
    **_UNFINISHED,
    "checkpoints": {".*": _CHECKPOINTS},
    "models": {".*": _MODELS},
    "redis": _REDIS,
    "tensorboard": {r"events\.out\.tfevents\..*": None},
}
"""All that a run of any kind writes into its folder, beside the files that are called after its games."""
_GAME = re.compile(r"[a-z0-9_]+")
_OLD_TEMPORARY = re.compile(r"\.\d+\.tmp$")
"""What version 0.1.0 added to the name of a file that was not yet whole."""


def is_run(path: Path) -> bool:
    """Return whether a run has made a folder, be it damaged or half deleted by now; a `config.yaml` is no proof."""
    if (path / DELETED).is_file():
        return True
    if not (path / CONFIG).is_file():
        return False
    try:
        environment: Any = json.loads((path / ENVIRONMENT).read_bytes())
        if (
            isinstance(environment, dict)
            and {"seed", "git_commit", "versions"} <= cast(dict[str, Any], environment).keys()
        ):
            return True
    except PermissionError:
        # Who may not read it has to go by its name.
        return True
    except (OSError, RecursionError, ValueError):
        pass
    try:
        return {"name", "games", "root"} <= read_yaml(path / CONFIG).keys() and (path / LOCK).is_file()
    except ConfigError:
        return False


@dataclass
class Removal:
    """What is removed of a run, found out before the first file goes; the run must be claimed.

    The configuration is renamed first and removed last. So a removal that is killed can be finished later, and what it
    leaves is never taken for a run.

    Attributes:
        folder: the run's.
        files: that are removed.
        links: that are removed; what they name stays.
        folders: that are removed if they are empty then, the inner ones first.
        stays: what this program has not made.
    """

    folder: RunFolder
    files: list[Path] = field(default_factory=list[Path])
    links: list[Path] = field(default_factory=list[Path])
    folders: list[Path] = field(default_factory=list[Path])
    stays: list[Path] = field(default_factory=list[Path])

    @classmethod
    def of(cls, folder: RunFolder) -> "Removal":
        """Look through a run's folder.

        Raises:
            RunError: if something may not be removed.
        """
        removal = cls(folder)
        try:
            removal._look(folder.path, _made(folder.path))
        except OSError as error:
            raise removal._refused(Path(error.filename or folder.path), error) from error
        return removal

    def begin(self) -> None:
        """Mark the run as half deleted.

        Raises:
            RunError: if its folder may not be changed; nothing is then removed.
        """
        if (self.folder.path / CONFIG).exists():
            try:
                (self.folder.path / CONFIG).rename(self.folder.path / DELETED)
            except OSError as error:
                raise self._refused(self.folder.path, error) from error

    def take_back(self) -> None:
        """Make the run whole again, as nothing was removed since `begin`."""
        if not (self.folder.path / CONFIG).exists():
            (self.folder.path / DELETED).rename(self.folder.path / CONFIG)

    def finish(self) -> bool:
        """Remove what is to be removed; return whether the folder is gone as well.

        Raises:
            RunError: if the file system refuses; what is left can be removed later.
        """
        marker = self.folder.path / DELETED
        path = marker
        try:
            for path in (*self.files, *self.links):
                if path.name != CONFIG or path.parent != self.folder.path:
                    path.unlink(missing_ok=True)
            for path in self.folders:
                if not any(path.iterdir()):
                    path.rmdir()
            path = marker
            marker.unlink(missing_ok=True)
            path = self.folder.path
            if any(path.iterdir()):
                return False
            path.rmdir()
        except OSError as error:
            raise RunError(
                f"run {self.folder.name}: half deleted: {path} cannot be removed: {error.strerror}; mend that and"
                f" delete it again"
            ) from error
        return True

    def _look(self, folder: Path, made: Made) -> None:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "this user may not change that folder", str(folder))
        for path in sorted(folder.iterdir()):
            name = _OLD_TEMPORARY.sub("", path.name)
            pattern = next((pattern for pattern in made if re.fullmatch(pattern, name)), None)
            within = None if pattern is None else made[pattern]
            if path.name == DELETED and folder == self.folder.path:
                continue  # the mark goes last
            if pattern is None or path.is_mount():
                self.stays.append(path)
            elif path.is_symlink():
                self.links.append(path)
            elif within is None and path.is_file():
                self.files.append(path)
            elif within is not None and path.is_dir():
                self._look(path, within)
                self.folders.append(path)
            else:
                self.stays.append(path)

    def _refused(self, path: Path, error: OSError) -> RunError:
        return RunError(f"run {self.folder.name}: nothing is deleted: {path}: {error.strerror}")


def _made(path: Path) -> Made:
    """Return what a run's folder may hold, with the files that are called after its games."""
    try:
        named: Any = read_yaml(path / (CONFIG if (path / CONFIG).is_file() else DELETED)).get("games")
    except ConfigError:
        named = None
    texts = cast(list[Any], named) if isinstance(named, list) else []
    games = [game for game in texts if isinstance(game, str) and _GAME.fullmatch(game)]
    films = [f"{game}{player}" for game in games for player in ("", "-student")]
    return {
        **_RUN,
        **_files(*(f"{lineage}.safetensors" for lineage in (*games, "-".join(games)))),
        "videos": _files(*(f"{film}.mp4" for film in films), *(f".{film}.partial.mp4" for film in films)),
    }
