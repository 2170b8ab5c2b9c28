"""The command line: help, flags over YAML, and one clear message with exit code 2 for every bad input."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from cluster import cli
from cluster.commands.run import RunOptions
from cluster.state.folder import open_run
from distill.config import RunConfig
from distill.models import load_model, save_model
from tests.support.sandbox import TEACHERS, TINY

PONG, BREAKOUT = TEACHERS / "pong.safetensors", TEACHERS / "breakout.safetensors"
TWO_LEARNERS = ("--learners", "2", "--shards", "2", "--actors", "2")
USUAL = ("--teachers", str(TEACHERS), "--serial")
Capture = pytest.CaptureFixture[str]
Logs = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where nothing may appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refuse(capsys: Capture, *arguments: str) -> str:
    """Run a command that must be refused, and return what it printed to stderr."""
    before = sorted(Path.cwd().rglob("*"))
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err.strip(), "it says why"
    assert sorted(Path.cwd().rglob("*")) == before, "it makes nothing"
    return " ".join(printed.err.replace("│", " ").split())


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.COMMANDS)], ids="-".join)
def test_help_exits_with_0(command: tuple[str, ...], capsys: Capture):
    assert cli.run((*command, "--help")) == 0
    output = capsys.readouterr().out
    assert output.startswith("usage: distill") or f"usage: distill {' '.join(command)}" in output
    if not command:
        assert all(name in output for name in cli.COMMANDS)


def test_the_help_of_run_is_grouped_and_complete(capsys: Capture):
    assert cli.run(["run", "--help"]) == 0
    output = capsys.readouterr().out
    for name, section in RunConfig.model_fields.items():
        kind = section.annotation
        assert kind is not None and f"{name} options" in output
        for option in kind.model_fields:
            assert f"--{option.replace('_', '-')} " in output or f"--{option.replace('_', '-')}," in output
    assert {"accept_loss", "config", "resume"} == set(RunOptions.model_fields) - set(RunConfig.model_fields)


def test_without_a_command_it_shows_the_commands(capsys: Capture):
    assert cli.run([]) == 2
    assert "import-teacher" in capsys.readouterr().out


def test_the_installed_command_refuses_and_explains(tmp_path: Path):
    done = subprocess.run(
        [Path(sys.executable).with_name("distill"), "run", "--tau", "-1"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "distill run: tau: expected more than 0, found -1.0\n"


def test_an_unknown_command_shows_the_known_ones(capsys: Capture):
    message = refuse(capsys, "destill")
    assert "unknown command 'destill'" in message and "import-teacher" in message


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--nonsense",), "Unrecognized options: --nonsense"),
        (("--batch-siz", "3"), "--batch-size"),
        (("extra",), "Unrecognized options: extra"),
        (("--config",), "--config: expected one argument"),
        (("--tau", "cold"), "--tau: could not convert string to float: 'cold'"),
        (("--student", "net9"), "Expected one of ('teacher', 'net1'"),
        (("--seed", "1.5"), "--seed: expected a whole number, found '1.5'"),
        (("--updates", "1e99"), "--updates: expected a whole number, found '1e99'"),
        (("--root", "~no-user/x"), "--root: expected a home folder for ~no-user"),
        (("--config", "$NOTHING/x"), "--config: expected $NOTHING to be set"),
        (("--minutes", "inf"), "minutes: expected a finite number, found inf"),
        (("--buffer", "redis://x?family=0"), "buffer: expected no parameters in a URL but ?db=NUMBER, found 'family'"),
        (("--games", "pong", "ALE/Pong-v5"), "games: each game once, found pong pong"),
        (("--tau", "-1"), "tau: expected more than 0, found -1.0"),
        (("--batch-size", "0"), "batch_size: expected at least 1, found 0"),
        (("--lanes", "1000000"), "lanes: expected at most 1024, found 1000000"),
        (("--epsilon", "1.5"), "epsilon: expected at most 1, found 1.5"),
        (("--name", "../x"), "name: expected text that matches ^[A-Za-z0-9]"),
        (("--buffer", "http://x"), "buffer: expected redis://HOST:PORT, rediss://HOST:PORT or unix://PATH"),
        (("--device", "tpu"), "device: expected text that matches ^(auto|cpu|cuda"),
        (("--min-replay", "600000"), "min_replay: found 600000; must be at most replay_capacity (540000)"),
        (("--sample-to-insert-window", "10"), "sample_to_insert_window: found 10; must be at least 1536"),
        (("--backlog", "1000"), "backlog: found 1000; must be at least lanes x chunk_steps x shards (2048)"),
        (
            ("--shards", "2", "--actors", "1"),
            "shards: found 2; must be at most actors (1), since each actor writes to one",
        ),
        (("--learners", "2"), "learners: found 2; shards (1) must be a multiple, since each reads streams of its own"),
        (("--learners", "2", "--shards", "3", "--actors", "3"), "learners: found 2; shards (3) must be a multiple"),
        (
            ("--learners", "3", "--shards", "3", "--actors", "3"),
            "learners: found 3; batch_size (32) must be a multiple",
        ),
        ((*TWO_LEARNERS, "--serial"), "learners: found 2; --serial runs everything in one process"),
        ((*TWO_LEARNERS, "--device", "cuda:1"), "learners: found 2; each takes a CUDA device of its own"),
        ((*TWO_LEARNERS, "--replay-capacity", "5100"), "learners: found 2; replay_capacity (5100) must be at least"),
        (
            (*TWO_LEARNERS, "--sample-to-insert-window", "2000"),
            "sample_to_insert_window: found 2000; must be at least 3072",
        ),
        (("--learners", "2", "--data", "recording"), "learners: found 2; a run with `data` plays nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_flag_is_named_with_what_is_allowed(arguments: tuple[str, ...], expected: str, capsys: Capture):
    assert expected in refuse(capsys, "run", *arguments)


def test_an_online_student_has_one_learner(capsys: Capture):
    assert "learners: found 2; only the student of `distill run`" in refuse(
        capsys, "online", "--game", "pong", "--learners", "2"
    )


@pytest.mark.parametrize(
    "text, expected",
    [
        ("bach_size: 3\n", "unknown setting 'bach_size' (did you mean 'batch_size'?)"),
        ("1: 2\n", "unknown setting 1"),
        ("tau: -1\n", "tau: expected more than 0, found -1"),
        ("batch_size: many\n", "batch_size: expected a whole number, found 'many'"),
        ("games: {pong: 1}\n", "games: expected text, found {'pong': 1}"),
        ("name: ../x\n", "name: expected text that matches ^[A-Za-z0-9]"),
        ("a: [1\n", "cannot be read as YAML"),
        ("- a\n", "expected lines such as `batch_size: 64`, found a list"),
        ("\x00", "cannot be read as YAML"),
        (None, "No such file or directory"),
    ],
)
def test_a_bad_yaml_file_is_named_with_the_key(text: str | None, expected: str, here: Path, capsys: Capture):
    if text is not None:
        (here / "run.yaml").write_text(text)
    message = refuse(capsys, "run", "--config", "run.yaml")
    assert message.startswith("distill run: run.yaml: ") and expected in message


def test_a_configuration_and_a_run_to_resume_are_one_too_many(here: Path, capsys: Capture):
    (here / "run.yaml").write_text("tau: 0.1\n")
    assert "--config and --resume" in refuse(capsys, "run", "--config", "run.yaml", "--resume", "runs/x")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run that has its settings from a file and from flags."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "run.yaml").write_text(
        yaml.safe_dump({"tau": 0.1, "updates": 3, "seed": 5, "name": "mixed", "video": True})
    )
    with contextlib.chdir(folder):
        assert cli.run(["run", "--config", "run.yaml", *TINY, "--serial", "--seed", "6", "--min-replay", "64"]) == 0
    return folder


def test_flags_win_over_yaml_and_yaml_over_defaults(mixed: Path):
    _, config = open_run(RunConfig, mixed / "runs" / "mixed")
    assert (config.student.tau, config.learner.updates) == (0.1, 3), "from the file"
    assert (config.general.seed, config.general.video) == (6, False), "the flags win"
    assert (config.student.loss, config.training.keep_last) == ("kl", 3), "defaults"


@pytest.fixture
def teachers(here: Path) -> Path:
    """A folder of teachers to spoil."""
    folder = here / "spoilt"
    folder.mkdir()
    return folder


def test_a_missing_or_empty_folder_of_teachers(teachers: Path, capsys: Capture):
    assert "teachers: no such folder missing" in refuse(capsys, "run", "--teachers", "missing")
    assert "teachers: no such folder missing" in refuse(capsys, "teachers", "missing")
    message = refuse(capsys, "run", "--teachers", str(teachers))
    assert f"no *.safetensors in {teachers}" in message and "distill import-teacher" in message


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (lambda data: data[:100_000], "truncated or damaged: expected "),
        (lambda data: data[:40], "truncated or damaged"),
        (lambda data: b"", "not a safetensors file"),
        (lambda data: b"\x00\x01" * 5000, "not a safetensors file"),
        (lambda data: data.replace(b'"kind": "\\"teacher\\""', b'"kind": "\\"student\\""'), "found a student of pong"),
        (lambda data: data.replace(b"max_pool", b"min_pool"), "preprocessing"),
        (lambda data: data.replace(b"pong", b"pang"), "not one of the"),
    ],
    ids=["truncated", "truncated header", "empty", "noise", "student", "preprocessing", "game"],
)
def test_a_damaged_teacher_is_named(spoil: Callable[[bytes], bytes], expected: str, teachers: Path, capsys: Capture):
    (teachers / "pong.safetensors").write_bytes(spoil(PONG.read_bytes()))
    for command in (["run", "--teachers"], ["teachers"]):
        message = refuse(capsys, *command, str(teachers))
        assert f"{teachers}/pong.safetensors: " in message and expected in message


def test_a_stranger_among_teachers_is_skipped_with_a_warning(teachers: Path, capsys: Capture, caplog: Logs):
    shutil.copy(PONG, teachers)
    (teachers / "._pong.safetensors").write_bytes(b"\x00\x05\x16\x07")
    (teachers / "breakout.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    reason = f"{teachers}/breakout.safetensors: not a safetensors file, but a Git LFS pointer"
    assert cli.run(["teachers", str(teachers)]) == 0
    assert "pong" in capsys.readouterr().out
    assert [record.getMessage().startswith(f"teachers: skipped {reason}") for record in caplog.records] == [True]

    message = refuse(capsys, "run", "--teachers", str(teachers))
    assert reason in message and "name games with --games" in message
    message = refuse(capsys, "run", "--teachers", str(teachers), "--games", "breakout")
    assert f"no teacher for breakout, perhaps because of {reason}" in message
    caplog.clear()
    message = refuse(capsys, "run", "--teachers", str(teachers), "--games", "pong", "--buffer", "redis://127.0.0.1:1")
    assert "buffer service at redis://127.0.0.1:1/0: cannot use it" in message, "it comes past the teachers"
    assert [record.getMessage().startswith(f"teachers: skipped {reason}") for record in caplog.records] == [True]


def test_two_teachers_of_a_game_are_one_too_many(teachers: Path, capsys: Capture):
    for name in ("a", "b"):
        shutil.copy(PONG, teachers / f"{name}.safetensors")
    message = refuse(capsys, "run", "--teachers", str(teachers))
    assert "two for pong" in message and "a.safetensors" in message and "b.safetensors" in message


@pytest.mark.parametrize(
    "game, expected",
    [
        ("pongg", "game 'pongg': not one of the"),
        ("Pongs", "did you mean pong"),
        ("EnduroNoFrameskip-v4", f"no teacher for enduro; {TEACHERS} has"),
        ("ALE/Warlords-v5", "game 'warlords': it needs two players"),
        ("enduro", f"no teacher for enduro; {TEACHERS} has breakout, freeway, ms_pacman, pong, qbert"),
    ],
)
def test_a_game_that_nobody_teaches(game: str, expected: str, capsys: Capture):
    assert expected in refuse(capsys, "run", *USUAL, "--games", game)


def test_a_folder_that_is_no_run_cannot_be_resumed(here: Path, capsys: Capture):
    (here / "folder").mkdir()
    for place in ("folder", "missing"):
        assert "expected a run's folder with config.yaml in it" in refuse(capsys, "run", "--resume", place)
    (here / "folder" / "config.yaml").write_text("tau: cold\n")
    assert "folder/config.yaml: tau" in refuse(capsys, "run", "--resume", "folder")


def test_a_name_that_is_taken_is_refused_with_what_to_do(here: Path, capsys: Capture):
    (here / "runs" / "taken").mkdir(parents=True)
    message = refuse(capsys, "run", *USUAL, "--name", "taken")
    assert "runs/taken exists; it is no run; choose another --name" in message
    (here / "runs" / "taken" / "config.yaml").touch()
    message = refuse(capsys, "run", *USUAL, "--name", "taken")
    assert "runs/taken exists" in message and "--resume" in message and "--delete taken" in message


def test_a_root_that_cannot_be_made(here: Path, capsys: Capture):
    (here / "file").write_text("")
    assert "cannot make" in refuse(capsys, "run", *USUAL, "--root", "file", "--name", "x")
    assert "cannot make" in refuse(capsys, "run", *USUAL, "--root", "/proc/distill", "--name", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="as root, who may do everything")
def test_a_root_that_cannot_be_written(here: Path, capsys: Capture):
    (here / "locked").mkdir(mode=0o500)
    assert "cannot make" in refuse(capsys, "run", *USUAL, "--root", "locked", "--name", "x")


@contextlib.contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Listen on a port and answer every connection with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1024)
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10.0)


def test_a_buffer_where_nothing_listens(capsys: Capture):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message = refuse(capsys, "run", *USUAL, "--buffer", f"redis://127.0.0.1:{port}")
    assert f"buffer service at redis://127.0.0.1:{port}/0: cannot use it" in message


@pytest.mark.parametrize("command", ["run", "runs"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://me:secret@127.0.0.1:1",
        "rediss://:secret@127.0.0.1:1/2",
        "redis://me:s#cret/secret@127.0.0.1:1",
        "redis://127.0.0.1:1?password=secret",
        "unix://:secret@/run/redis.sock",
        "http://me:secret@127.0.0.1:1",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(command: str, url: str, capsys: Capture):
    message = refuse(capsys, command, "--buffer", url)
    assert "buffer: expected a URL without a password" in message and "DISTILL_REDIS_PASSWORD_FILE" in message
    assert "secret" not in message


def test_a_password_in_a_url_of_a_yaml_file_is_refused_and_not_repeated(here: Path, capsys: Capture):
    (here / "run.yaml").write_text("buffer: redis://me:secret@127.0.0.1:1\n")
    message = refuse(capsys, "run", "--config", "run.yaml")
    assert "run.yaml: buffer: expected a URL without a password" in message and "secret" not in message


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"+OK\r\n",
        b"-ERR nonsense\r\n",
        b"\xff\xfe\x00\r\n",
        b"",
    ],
    ids=["web server", "some protocol", "refusal", "binary", "closed"],
)
def test_a_buffer_that_is_no_redis(reply: bytes, capsys: Capture):
    with answering(reply) as port:
        assert "buffer service at redis://127.0.0.1" in refuse(
            capsys, "run", *USUAL, "--buffer", f"redis://127.0.0.1:{port}"
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a CUDA device")
def test_a_device_that_is_not_there(capsys: Capture):
    message = refuse(capsys, "run", "--teachers", str(TEACHERS), "--device", "cuda:7")
    assert "device cuda:7: this machine has no usable CUDA device" in message


@pytest.mark.parametrize("option, value", [("--student", "net3"), ("--games", "pong"), ("--name", "other")])
def test_what_a_run_is_made_of_cannot_be_changed(
    option: str, value: str, mixed: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
):
    monkeypatch.chdir(mixed)
    assert f"{option.removeprefix('--')} is " in refuse(capsys, "run", "--resume", "runs/mixed", option, value)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("evaluate",), "Missing from distill evaluate"),
        (("evaluate", "missing"), "missing: expected a model file, found nothing there"),
        (("evaluate", "."), ".: expected a model file, found a directory"),
        (("evaluate", "noise"), "noise: not a safetensors file"),
        (("evaluate", str(PONG), "--games", "breakout"), "plays pong, not breakout"),
        (("evaluate", str(PONG), "--game", "ALE/Breakout-v5"), "plays pong, not breakout"),
        (("evaluate", str(PONG), "--episodes", "0"), "episodes: expected at least 1, found 0"),
        (("evaluate", str(PONG), "--out", "missing/x.json"), "missing is no folder"),
        (("export", str(PONG)), "Missing from distill export"),
        (("export", "noise", "out.onnx"), "noise: not a safetensors file"),
        (("export", str(PONG), "missing/out.onnx"), "missing is no folder"),
        (("export", str(PONG), "out.onnx", "--games", "breakout"), "game 'breakout': this network plays pong"),
        (("export", str(PONG), "out.onnx", "--game", "Breakout-v4"), "game 'breakout': this network plays pong"),
        (("import-teacher", "noise"), "--game"),
        (("import-teacher", "missing", "--game", "pong"), "missing: expected a model file, found nothing there"),
        (("import-teacher", "noise", "--game", "pong"), "noise: expected a zip, a PyTorch file, msgpack"),
        (("import-teacher", "plain.pt", "--game", "pongg"), "game 'pongg': not one of the"),
        (("import-teacher", "plain.pt", "--game", "pong"), "pong has 6 actions"),
        (("import-teacher", "plain.pt", "--game", "PongNoFrameskip-v4"), "pong has 6 actions"),
        (("import-teacher", "plain.pt", "--game", "breakout", "--out", "noise"), "out: noise exists"),
        (("import-teacher", "plain.pt", "--game", "breakout", "--out", "noise/x"), "out: cannot make noise"),
        (
            ("import-teacher", "page.zip", "--game", "pong"),
            "found a web page, not the file itself; the download",
        ),
        (("evaluate", "plain.pt"), "a PyTorch file; import it first: distill import-teacher plain.pt --game GAME"),
        (("run", "--teachers", "plain.pt"), "a PyTorch file; import it first: distill import-teacher plain.pt"),
        (("import-teacher", str(PONG), "--game", "pong"), "already a model file of this project"),
        (("teach",), "games: name one or more, as in `distill teach --game pong`"),
        (("teach", "--game", "Joust"), "game 'joust': it needs two players"),
        (("online", "--games", "pong", "Pong-v4"), "games: each game once, found pong pong"),
        (
            ("teach", "--game", "Pong-v4", "--initial", str(BREAKOUT)),
            "expected teacher with actions {'pong': 6}, found",
        ),
        (("teach", "--game", "pong", "--initial", "noise"), "noise: not a safetensors file"),
        (("teach", "--game", "pong", "--initial", str(BREAKOUT)), "expected teacher with actions {'pong': 6}, found"),
        (("online", "--games", "pong", "breakout", "--initial", str(PONG)), "with actions {'breakout': 4}, found"),
        (("bench", "--only", "nonsense"), "invalid choice 'nonsense'"),
        (("bench", "--game", "Enduro-v4", "--teachers", str(TEACHERS)), "no teacher for enduro"),
        (("bench", "--game", "enduro", "--teachers", str(TEACHERS)), "no teacher for enduro"),
        (("bench", "--teachers", str(TEACHERS), "--out", "missing/x.json"), "missing is no folder"),
        (("runs", "--buffer", "foo"), "or several of them separated by commas, found 'foo'"),
    ],
    ids=lambda value: " ".join(Path(part).name for part in value) if isinstance(value, tuple) else "",
)
def test_wrong_files_and_values_of_the_other_commands(
    arguments: tuple[str, ...], expected: str, here: Path, capsys: Capture
):
    (here / "noise").write_bytes(b"\x00\x01" * 100)
    (here / "page.zip").write_text("<!DOCTYPE html><title>404</title>")
    layers = {"conv1": "0", "conv2": "2", "conv3": "4", "fc": "7", "heads": "9"}
    weights = load_file(BREAKOUT)
    state = {f"net.{layers[key.split('.')[0]]}.{key.split('.')[-1]}": value for key, value in weights.items()}
    torch.save(state, here / "plain.pt")
    assert expected in refuse(capsys, *arguments)


def test_what_was_taken_from_a_file_is_told(here: Path, capsys: Capture):
    layers = {"conv1": "a", "conv2": "b", "conv3": "c", "fc": "d", "heads": "e"}
    state = {f"{layers[key.split('.')[0]]}.{key.split('.')[-1]}": value for key, value in load_file(BREAKOUT).items()}
    torch.save({"model": state, "model_old": state, "steps": torch.tensor(3)}, here / "[both].pt")
    assert cli.run(["import-teacher", "[both].pt", "--game", "breakout"]) == 0
    assert "took model, left out model_old, steps\n" in capsys.readouterr().out


def test_a_teacher_is_listed_and_exported(here: Path, capsys: Capture):
    network, card = load_model(BREAKOUT)
    training = {"algorithm": "DQN", "transitions": {"breakout": 5_000}, "curve": {"breakout": [[4_321, 1.0]]}}
    save_model(here / "breakout.safetensors", network, replace(card, training=training), "float16")
    assert cli.run(["teachers", str(here)]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert all(word in listed for word in ("breakout", "algorithm: DQN", "5000")), "how it was trained, in words"
    assert "4321" not in listed, "the curve is no fact to read"
    assert cli.run(["export", "breakout.safetensors", "breakout.onnx"]) == 0
    assert (here / "breakout.onnx").stat().st_size > 1_000_000
