"""Two games distilled on three hosts: `ray up` over SSH, Redis with TLS and users, `ray job submit`, `ray down`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from launch import HOME, RUN, CommandLines, Launched, cluster_file, make_secrets, redis_at_the_desk
from machines import HEAD, WORKERS, machines, require_namespaces

from distill.student import load_student

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

UPDATES = 300
TINY = (
    "--games", "breakout", "pong", "--student", "one_percent", "--lanes", "4", "--chunk-steps", "16",
    "--min-replay", "256", "--learner-threads", "1",
    "--eval-every", "1000000", "--eval-episodes", "1", "--eval-lanes", "1", "--final-episodes", "0", "--no-video",
)  # fmt: skip
IDLE = {"bash", "sshd", "ps", "sleep"}
"""What runs on a host without Ray; a forwarded port sleeps there."""


@dataclass(frozen=True)
class Finished:
    """What is left when the cluster is gone.

    Attributes:
        run: the run's folder, fetched.
        printed: by the job.
        actors: class and address of every actor that there was.
        secrets: by file.
        command_lines: of all processes that there were, from `ray up` to `ray down`.
        with_secrets: files of each host that held a secret while Ray still ran.
        left: what ran on each host after `ray down`.
        logs: of Redis and the SSH servers.
    """

    run: Path
    printed: str
    actors: set[tuple[str, str]]
    secrets: dict[Path, bytes]
    command_lines: set[bytes]
    with_secrets: dict[str, set[str]]
    left: dict[str, set[str]]
    logs: bytes


@pytest.fixture(scope="module")
def finished() -> Iterator[Finished]:
    require_namespaces()
    with TemporaryDirectory(prefix="hosts-") as name:
        folder = Path(name)
        token = make_secrets(folder) / "auth_token"
        secrets = {file: file.read_bytes() for file in (token, *(folder / "secrets/passwords").iterdir())}
        (folder / "patterns").write_bytes(b"\n".join(secrets.values()) + b"\n")
        variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
        lines = CommandLines()
        with machines(folder, variables) as made, lines.collected(), redis_at_the_desk(made) as url:
            launched = Launched(made, cluster_file(folder))
            launched.up()
            with launched.dashboard():
                printed = launched.submit(
                    "distill", "run", "--name", RUN, "--root", f"{HOME}/runs", "--address", "auto", "--buffer", url,
                    "--teachers", f"{HOME}/policy-distillery/teachers", "--updates", str(UPDATES), *TINY,
                )  # fmt: skip
                actors = launched.actors()
            launched.ray("rsync-down", f"{HOME}/runs/{RUN}/", folder / RUN)
            search = f"grep --recursive --files-with-matches --fixed-strings --file={folder}/patterns /tmp/ray {HOME}"
            holders = {host: set(made.on(host, search).split()) for host in (HEAD, *WORKERS)}
            launched.down()
            left = {host: set(made.on(host, "ps -e -o comm=").split()) - IDLE for host in (HEAD, *WORKERS)}
        logs = b"".join((folder / name).read_bytes() for name in ("redis.log", "machines.log"))
        yield Finished(folder / RUN, printed, actors, secrets, lines.seen, holders, left, logs)


def test_the_student_is_there(finished: Finished) -> None:
    assert "succeeded" in finished.printed
    student = load_student(finished.run / "student.safetensors")
    assert set(student.card.actions) == {"breakout", "pong"}
    assert json.loads((finished.run / "metrics.jsonl").read_text().splitlines()[-1])["updates"] == UPDATES


def test_the_learner_is_on_the_head_and_everybody_else_elsewhere(finished: Finished) -> None:
    hosts: dict[str, set[str]] = {}
    for kind, address in finished.actors:
        hosts.setdefault(kind, set()).add(address)
    assert hosts["StudentTrainer"] == {HEAD}
    assert hosts["CollectingActor"] == set(WORKERS)
    assert hosts["EvaluatingActor"] <= set(WORKERS)


def test_hosts_have_no_secret_but_those_that_they_were_given(finished: Finished) -> None:
    """Ray's logs and the run's folder are among what was searched."""
    given = {f"{HOME}/.ray/auth_token", f"{HOME}/.distill/actor_password"}
    assert finished.with_secrets == {
        HEAD: given | {f"{HOME}/.distill/learner_password"},
        **dict.fromkeys(WORKERS, given),
    }


def test_no_secret_is_shown(finished: Finished) -> None:
    lines = b"\n".join(finished.command_lines)
    assert b"ray::CollectingActor" in lines and b"distill\0run" in lines, "hosts' processes were seen"
    files = [file for file in finished.run.rglob("*") if file.is_file()]
    assert {"config.yaml", "run.log", "metrics.jsonl"} <= {file.name for file in files}
    shown = b"\n".join([lines, finished.printed.encode(), finished.logs, *(file.read_bytes() for file in files)])
    assert [str(file) for file, secret in finished.secrets.items() if secret in shown] == []


def test_nothing_is_left_running(finished: Finished) -> None:
    assert finished.left == {host: set() for host in (HEAD, *WORKERS)}
