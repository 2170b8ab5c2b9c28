"""Files of the Hugging Face Hub: which one is fetched, what is pinned, and what is said where there is none."""

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distill import hub as hub_module
from distill.errors import ConfigError, ModelFileError
from distill.hub import fetch
from distill.model_card import read_card
from tests.support.foreign_networks import plain, sb3
from tests.support.model_hub import ModelHub, commit_of, model_hub

pytest.importorskip("huggingface_hub", reason="without huggingface_hub: pip install 'policy-distillery[hub]'")
constants = importlib.import_module("huggingface_hub.constants")
REPOSITORY = "someone/dqn-PongNoFrameskip-v4"


def torch_bytes(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[ModelHub]:
    with model_hub() as hub:
        yield hub


@pytest.fixture
def hub(server: ModelHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A hub without repositories, and a cache without files."""
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        server.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    server.repositories.clear()
    server.requests.clear()
    server.wrong_digests = False
    yield server


def test_a_file_of_a_revision_is_fetched_and_pinned(hub: ModelHub) -> None:
    old, new = {"q.pth": torch_bytes(plain())}, {"q.pth": torch_bytes(plain()), "README.md": b"x"}
    hub.add(REPOSITORY, old, "v1")
    hub.add(REPOSITORY, new)
    for source, files in (
        (f"hf:{REPOSITORY}", new),
        (f"hf:{REPOSITORY}@main:q.pth", new),
        (f"hf:{REPOSITORY}@v1", old),
        (f"hf:{REPOSITORY}@{commit_of(old)}:q.pth", old),
    ):
        found = fetch(source)
        assert found.path.read_bytes() == files["q.pth"]
        assert found.record() == {"hub": REPOSITORY, "revision": commit_of(files), "hub_file": "q.pth"}


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"README.md": b"x", "q.cleanrl_model": b"q" * 9, "replay.mp4": b"x"}, "q.cleanrl_model"),
        ({"best/model.pt": b"q" * 9, "best/target_model.pt": b"t", "best/optimizer.pt": b"o"}, "best/model.pt"),
        # As rl-zoo3 uploads what Stable-Baselines3 has saved.
        (
            {
                "dqn-PongNoFrameskip-v4.zip": b"q" * 9,
                "dqn-PongNoFrameskip-v4/policy.pth": b"p",
                "dqn-PongNoFrameskip-v4/policy.optimizer.pth": b"o",
                "train_eval_metrics.zip": b"m",
            },
            "dqn-PongNoFrameskip-v4.zip",
        ),
    ],
)
def test_the_one_model_of_a_repository_is_taken(hub: ModelHub, files: dict[str, bytes], chosen: str) -> None:
    hub.add(REPOSITORY, files)
    found = fetch(f"hf:{REPOSITORY}")
    assert (found.file, found.path.read_bytes()) == (chosen, b"q" * 9)


def test_settings_of_an_experiment_come_with_its_checkpoint(hub: ModelHub) -> None:
    hub.add(REPOSITORY, {"config.json": b"{}", "checkpoint_p0/best_1.pth": b"q", "other/cfg.json": b"{}"})
    found = fetch(f"hf:{REPOSITORY}:checkpoint_p0/best_1.pth")
    assert (found.path.parent.parent / "config.json").read_bytes() == b"{}"
    assert not (found.path.parent.parent / "other").exists()


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("hf:pong", ConfigError, "expected hf:OWNER/NAME, with @REVISION and :FILE if you like, found hf:pong"),
        ("hf:a/b/c", ConfigError, "expected hf:OWNER/NAME"),
        ("hf:a/b@", ConfigError, "expected hf:OWNER/NAME"),
        ("hf:nobody/nothing", ModelFileError, "the hub has no such repository, or it is private"),
        (f"hf:{REPOSITORY}@v9", ModelFileError, "the repository has no such revision"),
        (f"hf:{REPOSITORY}:absent.pth", ModelFileError, "expected a file absent.pth in it, found a.pth, b.pth"),
        (f"hf:{REPOSITORY}", ModelFileError, "expected one model file in it, found a.pth, b.pth; name the file itself"),
    ],
)
def test_what_is_not_there(hub: ModelHub, source: str, error: type[Exception], message: str) -> None:
    hub.add(REPOSITORY, {"a.pth": b"a", "b.pth": b"b"})
    with pytest.raises(error, match=message) as caught:
        fetch(source)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_what_the_hub_says_is_refused(hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPOSITORY, {"q.pth": torch_bytes(plain())})
    hub.wrong_digests = True
    with pytest.raises(ModelFileError, match=r"expected a file of SHA-256 0000.*as the hub says, found"):
        fetch(f"hf:{REPOSITORY}")
    monkeypatch.setattr(hub_module, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ModelFileError, match="expected at most 1000 bytes"):
        fetch(f"hf:{REPOSITORY}")


def test_a_hub_that_does_not_answer(hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelFileError, match="it cannot be fetched: ") as caught:
        fetch(f"hf:{REPOSITORY}")
    assert "\n" not in str(caught.value)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"needs huggingface_hub, which is not installed: pip install .*\[hub\]"):
        fetch(f"hf:{REPOSITORY}")


def test_the_command_pins_what_it_fetched_and_needs_no_hub_the_next_time(server: ModelHub, tmp_path: Path) -> None:
    server.repositories.clear()
    sb3(6).save(tmp_path / "dqn.zip")
    commit = server.add(REPOSITORY, {f"{REPOSITORY.partition('/')[2]}.zip": (tmp_path / "dqn.zip").read_bytes()})
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}

    def run(name: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = ("import-teacher", f"hf:{REPOSITORY}", "--game", "pong", "--out", str(tmp_path / name))
        code = f"import sys; from cluster import cli; sys.exit(cli.run({list(command)!r}))"
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    first = run("pong.safetensors")
    assert first.returncode == 0, first.stderr
    source: dict[str, Any] = read_card(tmp_path / "pong.safetensors").training["imported_from"]
    assert (source["hub"], source["revision"], source["format"]) == (REPOSITORY, commit, "Stable-Baselines3 DQN")
    assert len(source["sha256"]) == 64 and json.dumps(source)
    server.requests.clear()
    again = run("again.safetensors", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "pong.safetensors").read_bytes()
    assert server.requests == []
    other = run("other.safetensors", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "empty"))
    assert other.returncode == 2
    assert "the cache does not hold it" in other.stderr and other.stderr.count("\n") == 1
    assert not (tmp_path / "other.safetensors").exists()
