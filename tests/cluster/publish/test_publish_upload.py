"""Uploading by the real huggingface_hub to a local server that speaks the hub's paths."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub", reason="without huggingface_hub: pip install 'policy-distillery[hub]'")

DISTILL = Path(sys.executable).with_name("distill")
RUN = Path(__file__).resolve().parents[2] / "golden/0.1.0/run"


class Hub(ThreadingHTTPServer):
    """Takes commits, of files small enough to be in them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.refuses = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses:
            self.answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.answer({"url": f"{self.server.address}/me/small"})
        elif self.path == "/api/validate-yaml":
            assert "model-index" in json.loads(body)["content"]
            self.answer({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self.answer(
                {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]}
            )
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            where = f"{self.server.address}/me/small/commit/1"
            self.answer({"success": True, "commitUrl": where, "commitOid": "1", "hookOutput": ""})
        else:
            self.answer({"error": self.path}, 404)

    def do_GET(self) -> None:
        self.answer({"id": "me/small", "siblings": [], "sha": "0"})

    def answer(self, document: Any, code: int = 200) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10.0)


def publish(hub: Hub, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_a_test", "HF_HOME": str(folder / "home")}
    return subprocess.run(
        [DISTILL, "publish", RUN, folder / "out", "--no-page", "--no-video", *options],
        capture_output=True, text=True, timeout=100, check=False, env=environment,
    )  # fmt: skip


def test_the_folder_becomes_one_commit_of_a_repository_that_is_made(hub: Hub, tmp_path: Path):
    done = publish(hub, tmp_path, "--repo", "me/small", "--private")
    assert done.returncode == 0, done.stderr
    assert f"uploaded: {hub.address}/me/small" in done.stdout
    (created,) = hub.created
    assert (created["name"], created["organization"], created["visibility"]) == ("small", "me", "private")
    assert hub.files == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert b"# small\n" in hub.files["README.md"], "the card has the repository's name"


def test_a_hub_that_refuses_costs_a_sentence_and_not_the_folder(hub: Hub, tmp_path: Path):
    hub.refuses = True
    done = publish(hub, tmp_path, "--repo", "me/small")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("distill publish: ")]
    assert (
        "repo me/small: the hub has not taken it: Client error '401 Unauthorized'" in line
        and "`hf upload me/small" in line
    )
    assert (tmp_path / "out/model.safetensors").is_file()
