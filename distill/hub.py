"""Fetches files of the Hugging Face Hub, written `hf:OWNER/NAME[@REVISION][:FILE]`, through huggingface_hub.

The library's own environment variables hold: HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE. What was fetched stays in its cache.
"""

import hashlib
import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from distill.containers import choose
from distill.errors import ConfigError, ModelFileError
from distill.file_kinds import may_be_model
from distill.model_card import MAX_FILE_BYTES
from distill.sample_factory import SETTINGS_FILES
from distill.torch_files import printable

SCHEME = "hf:"
_SOURCE = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@]+))?(?::(?P<file>[^:]+))?")


@dataclass(frozen=True)
class HubFile:
    """A file that was fetched, or lay in the cache.

    Attributes:
        path: it on disk, among the other files of its repository that were fetched.
        repository: `OWNER/NAME`.
        revision: the commit, as 40 hexadecimal digits.
        file: its path in the repository.
    """

    path: Path
    repository: str
    revision: str
    file: str

    def record(self) -> dict[str, str]:
        """Return what a card says of it."""
        return {"hub": self.repository, "revision": self.revision, "hub_file": self.file}


@dataclass(frozen=True)
class _Listing:
    """A repository at a commit: the sizes of its files, and SHA-256 of those in Git LFS."""

    revision: str
    sizes: dict[str, int]
    digests: dict[str, str]


def fetch(source: str) -> HubFile:
    """Return the model file that `hf:OWNER/NAME[@REVISION][:FILE]` names, fetched unless the cache has it.

    Without a revision it is the newest; without a file the repository must hold one model, or a zip of its own name.

    Raises:
        ConfigError: if huggingface_hub is not installed, or the source is not written so.
        ModelFileError: if there is no such repository, revision or file, it is too large, not what the hub says it is,
            or the hub cannot be reached.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise ConfigError(
            f"source: expected hf:OWNER/NAME, with @REVISION and :FILE if you like, found {printable(source)}"
        )
    try:
        hub: Any = importlib.import_module("huggingface_hub")
        for part in ("constants", "errors"):
            importlib.import_module(f"huggingface_hub.{part}")
    except ImportError as error:
        raise ConfigError(
            f"source: {source} needs huggingface_hub, which is not installed: pip install 'policy-distillery[hub]'"
        ) from error
    try:
        return _fetch(hub, source, match["repository"], match["revision"], match["file"])
    except ModelFileError:
        raise
    except Exception as error:  # the library's errors and those of its HTTP client have no common base
        raise ModelFileError(f"{source}: {_reason(hub, error)}") from error


def _fetch(hub: Any, source: str, repository: str, revision: str | None, file: str | None) -> HubFile:
    if hub.constants.HF_HUB_OFFLINE:
        listing = _cached(hub, repository, revision)
    else:
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        digests = {each.rfilename: each.lfs["sha256"] for each in info.siblings if each.lfs}
        listing = _Listing(info.sha, {each.rfilename: each.size or 0 for each in info.siblings}, digests)
    chosen = file or _chosen(source, repository, listing.sizes)
    if chosen not in listing.sizes:
        found = (
            ", ".join(printable(name) for name in sorted(filter(may_be_model, listing.sizes))[:8]) or "no model file"
        )
        raise ModelFileError(f"{source}: expected a file {printable(chosen)} in it, found {found}")
    if listing.sizes[chosen] > MAX_FILE_BYTES:
        raise ModelFileError(f"{source}: expected at most {MAX_FILE_BYTES} bytes, found {listing.sizes[chosen]}")

    def get(name: str) -> Path:
        # Under the revision's own name, by which the cache is asked when the hub is away.
        path = Path(hub.hf_hub_download(repository, name, revision=revision))
        found = path.parents[len(PurePosixPath(name).parts) - 1].name
        if found != listing.revision:
            raise ModelFileError(
                f"{source}: expected commit {listing.revision}, found {found} a moment later; try again"
            )
        return path

    path = get(chosen)
    _check(source, path, chosen, listing)
    for name in _settings(chosen, listing.sizes):
        get(name)
    return HubFile(path, repository, listing.revision, chosen)


def _cached(hub: Any, repository: str, revision: str | None) -> _Listing:
    """Return what the cache holds of a repository."""
    folder = Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
    files = [path for path in folder.rglob("*") if path.is_file()]
    return _Listing(folder.name, {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}, {})


def _chosen(source: str, repository: str, files: Iterable[str]) -> str:
    """Return the one model of a repository; one of Stable-Baselines3 has a zip of its own name beside its parts."""
    own = f"{repository.partition('/')[2]}.zip"
    return own if own in files else choose(source, [name for name in files if may_be_model(name)])


def _settings(chosen: str, files: Iterable[str]) -> list[str]:
    """Return the files of settings beside a file and in the folder above."""
    parent = PurePosixPath(chosen).parent
    places = {(folder / name).as_posix() for folder in (parent, parent.parent) for name in SETTINGS_FILES}
    return sorted(places.intersection(files))


def _check(source: str, path: Path, chosen: str, listing: _Listing) -> None:
    """Compare a file with the hash that the hub has of it."""
    expected = listing.digests.get(chosen)
    if expected is not None and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
        raise ModelFileError(
            f"{source}: expected a file of SHA-256 {expected}, as the hub says, found {found} in {path}; delete that,"
            " and fetch it again"
        )


def _reason(hub: Any, error: Exception) -> str:
    """Return in one sentence why the hub gave nothing."""
    errors: Any = hub.errors
    reasons: tuple[tuple[str, str], ...] = (
        ("GatedRepoError", "its authors let only some users read it; ask them on its page, then `hf auth login`"),
        ("RepositoryNotFoundError", "the hub has no such repository, or it is private; look at its name"),
        ("RevisionNotFoundError", "the repository has no such revision; look at its name"),
        ("RemoteEntryNotFoundError", "the repository has no such file; look at its name"),
        ("LocalEntryNotFoundError", "the cache does not hold it, and the hub is offline or cannot be reached"),
        ("OfflineModeIsEnabled", "the cache does not hold it, and HF_HUB_OFFLINE is set"),
    )
    for name, reason in reasons:
        kind: Any = getattr(errors, name, None)
        if kind is not None and isinstance(error, kind):
            return reason
    return f"it cannot be fetched: {printable(' '.join(str(error).split())[:200])}"
