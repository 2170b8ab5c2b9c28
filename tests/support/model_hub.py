"""A server that speaks the paths of the Hugging Face Hub which huggingface_hub asks for models."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


def commit_of(files: Mapping[str, bytes]) -> str:
    """Return a commit's name, 40 hexadecimal digits."""
    return hashlib.sha1(b"".join(name.encode() + data for name, data in sorted(files.items()))).hexdigest()


@dataclass
class ModelHub:
    """Repositories by `OWNER/NAME`, each with its files by revision; `main` is the newest.

    Attributes:
        repositories: files by path, by revision, by repository.
        wrong_digests: whether it claims another SHA-256 than its files have.
        requests: paths that were asked for.
    """

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    wrong_digests: bool = False
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, repository: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Add a commit under a branch or tag, and return its name."""
        commit = commit_of(files)
        self.repositories.setdefault(repository, {}).update({revision: files, commit: files})
        return commit

    def info(self, repository: str, revision: str) -> dict[str, Any] | None:
        """Return what the hub's API says of a model, None if there is none of that revision."""
        files = self.repositories[repository].get(revision)
        if files is None:
            return None
        digest = (lambda data: "0" * 64) if self.wrong_digests else (lambda data: hashlib.sha256(data).hexdigest())
        siblings = [
            {"rfilename": name, "size": len(data)}
            | ({"lfs": {"sha256": digest(data), "size": len(data), "pointerSize": 134}} if len(data) > 1000 else {})
            for name, data in files.items()
        ]
        return {"_id": "1", "id": repository, "modelId": repository, "sha": commit_of(files), "siblings": siblings,
                "private": False, "tags": [], "downloads": 0, "likes": 0}  # fmt: skip


@contextlib.contextmanager
def model_hub() -> Iterator[ModelHub]:
    """Serve a hub on this machine."""
    hub = ModelHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            hub.requests.append(f"{self.command} {self.path}")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            if parts[:2] == ["api", "models"]:
                repository, revision = "/".join(parts[2:4]), "/".join(parts[5:]) or "main"
                found = hub.info(repository, revision) if repository in hub.repositories else None
                self._answer(
                    json.dumps(found).encode() if found else None, repository, {"Content-Type": "application/json"}
                )
                return
            if len(parts) < 5:
                self._answer(None, "", {})
                return
            repository, revision, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            files = hub.repositories.get(repository, {}).get(revision)
            data = None if files is None else files.get(name)
            missing = "EntryNotFound" if files is not None else "RevisionNotFound"
            headers = {"X-Repo-Commit": commit_of(files)} if files is not None else {}
            if data is not None:
                headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()}"'
            self._answer(data, repository, headers, missing)

        def _answer(
            self, data: bytes | None, repository: str, headers: Mapping[str, str], missing: str = "RevisionNotFound"
        ) -> None:
            body = b"{}" if data is None else data
            self.send_response(404 if data is None else 200)
            if data is None:
                known = repository in hub.repositories
                self.send_header("X-Error-Code", missing if known else "RepoNotFound")
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield hub
        server.shutdown()
        thread.join(10.0)
