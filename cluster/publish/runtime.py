"""onnxruntime-web, as npm's registry has it: one version, known by its checksum."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from distill.errors import ConfigError, RunError

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package's archive, as the registry gives it too; another archive is refused."""
_MODULE = "package/dist/ort.wasm.bundle.min.mjs"
_WASM = "package/dist/ort-wasm-simd-threaded.wasm"
_SECONDS = 300.0


@dataclass(frozen=True)
class Runtime:
    """What of the package a page needs.

    Attributes:
        module: JavaScript module that exports `InferenceSession`, `Tensor` and `env`.
        wasm: the WebAssembly that it runs.
    """

    module: bytes
    wasm: bytes


def require_npm() -> None:
    """Check that npm is installed.

    Raises:
        ConfigError: if it is not.
    """
    if shutil.which("npm") is None:
        raise ConfigError(
            f"page: expected npm, which fetches {PACKAGE}, found none; install Node.js, or leave the page out with"
            " --no-page"
        )


def fetch_runtime() -> Runtime:
    """Fetch the package by npm, from its cache where it has been fetched before.

    Raises:
        RunError: if npm cannot fetch it, or what it fetches is another package.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--prefer-offline", "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=folder, check=False)
        except subprocess.TimeoutExpired as error:
            raise _failed(f"no answer within {_SECONDS:.0f} s") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise _failed((done.stderr.strip().splitlines() or ["it has left no archive"])[0])
        return _read(archives[0])


def _read(archive: Path) -> Runtime:
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise _failed(f"expected the archive {INTEGRITY}, found sha512-{digest}")
    with tarfile.open(archive) as package:
        files = {name: package.extractfile(name) for name in (_MODULE, _WASM)}
        data = {name: file.read() for name, file in files.items() if file is not None}
    return Runtime(data[_MODULE], data[_WASM])


def _failed(why: str) -> RunError:
    return RunError(f"page: npm has not fetched {PACKAGE} {VERSION}: {why}; leave the page out with --no-page")
