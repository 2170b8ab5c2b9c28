"""One run has a name at a Redis: another one is refused with whose it is, and what never began leaves nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import cli
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import list_runs
from cluster.models.decisions import Promotion
from cluster.models.mirror import ModelMirror
from cluster.models.registry import RedisModelRegistry
from cluster.redis.connection import connect
from cluster.redis.holder import Claim, Holder, incarnation_of, learner_of, read_claim
from cluster.redis.keys import stream_keys
from cluster.redis.ownership import running_server
from cluster.redis.private_server import PrivateRedis
from cluster.run.claim import NameClaim
from cluster.services import RedisServices
from cluster.state.folder import RunFolder, new_run
from distill.config import BufferConfig, DistillConfig, RunConfig
from distill.errors import ReplacedError, RunError
from distill.protocols import explorers_lineage
from tests.support.chunk_streams import make_chunk
from tests.support.sandbox import TEACHERS, new_sandbox, updates

Capture = pytest.CaptureFixture[str]
GAMES = ("pong", "breakout")


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path / "other") as server:
        yield server


def services_of(
    urls: str, run: str, run_id: str = "mine", *, sitting: int = 0, root: str = "/a", mirror: Path | None = None
) -> RedisServices:
    address = BufferAddress(urls, run, GAMES, Limits(1_000, 1_000, shards=2), run_id)
    holder = Holder(run, run_id, f"host-of-{run_id}", f"{root}/{run}", incarnation=incarnation_of(sitting, 0))
    return RedisServices(address, mirror, holder)


def name_of(services: RedisServices) -> NameClaim:
    assert services.holder is not None
    return NameClaim(services.address, services.holder, ["student", "pong"])


def keys_of(url: str, run: str) -> list[str]:
    with connect(url) as client:
        return [usage.run for usage in list_runs(client) if usage.run == run]


def test_a_second_root_is_refused_with_whose_the_name_is(one_redis_server: PrivateRedis, run_name: str) -> None:
    url = one_redis_server.url
    name_of(services_of(url, run_name)).take()
    with pytest.raises(RunError) as caught:
        name_of(services_of(url, run_name, "other", root="/b")).take()
    message = str(caught.value)
    assert f"found it taken by the run in /a/{run_name} on host-of-mine; choose another --name" in message
    assert f"`distill runs --root /a --delete {run_name} --buffer {url}`" in message
    with connect(url) as client:
        assert read_claim(client, run_name) == Claim("mine", "host-of-mine", f"/a/{run_name}")


def test_a_resumed_run_has_its_name_back_and_its_former_self_is_fenced(
    one_redis_server: PrivateRedis, run_name: str
) -> None:
    first = services_of(one_redis_server.url, run_name)
    name_of(first).take()
    learner = learner_of("student")
    registry = first.held_by(learner, incarnation_of(0, 3)).registry("student")
    reader = first.held_by(learner, incarnation_of(0, 3)).reader(0)
    assert registry.publish(b"one", {}) == 1
    first.writer("pong", 0).write(make_chunk(0))
    assert reader.read("pong", 1)

    second = services_of(one_redis_server.url, run_name, sitting=1, root="/moved")
    name_of(second).take()
    for late in (lambda: registry.publish(b"late", {}), reader.commit, lambda: reader.read("pong", 1)):
        with pytest.raises(
            ReplacedError, match=f"found 1000000 of /moved/{run_name} on host-of-mine: this process was"
        ):
            late()
    assert registry.resolve("latest") == 1
    assert second.held_by(learner, incarnation_of(1, 0)).registry("student").publish(b"two", {}) == 2


def test_a_copy_of_a_folder_does_not_go_on_as_the_same_sitting(one_redis_server: PrivateRedis, run_name: str) -> None:
    name_of(services_of(one_redis_server.url, run_name, sitting=1)).take()
    with pytest.raises(ReplacedError):
        name_of(services_of(one_redis_server.url, run_name, sitting=1, root="/copy")).take()


@pytest.mark.parametrize("leftover", ["chunks", "models"])
def test_keys_without_a_claim_are_refused(one_redis_server: PrivateRedis, run_name: str, leftover: str) -> None:
    services = services_of(one_redis_server.url, run_name)
    if leftover == "chunks":
        services.writer("breakout", 1).write(make_chunk(0, game="breakout"))
    else:
        RedisModelRegistry(connect(one_redis_server.url), run_name, "student").publish(b"old", {})
    with pytest.raises(RunError, match=rf"which no run claims.*`distill runs --delete {run_name} --buffer unix://"):
        name_of(services).take()
    with connect(one_redis_server.url) as client:
        assert read_claim(client, run_name) is None


def test_of_several_servers_all_are_claimed_or_none(
    one_redis_server: PrivateRedis, other_server: PrivateRedis, run_name: str
) -> None:
    both = f"{one_redis_server.url},{other_server.url}"
    name_of(services_of(other_server.url, run_name, "other")).take()
    with pytest.raises(RunError, match="host-of-other"):
        name_of(services_of(both, run_name)).take()
    assert not keys_of(one_redis_server.url, run_name)
    name_of(services_of(other_server.url, run_name, "other")).drop()
    name_of(services_of(both, run_name)).take()
    assert keys_of(one_redis_server.url, run_name) and keys_of(other_server.url, run_name)


def test_what_never_began_leaves_nothing_and_takes_nobody_elses(
    tmp_path: Path, one_redis_server: PrivateRedis, other_server: PrivateRedis, run_name: str
) -> None:
    services = services_of(f"{one_redis_server.url},{other_server.url}", run_name, mirror=tmp_path)
    name_of(services).take()
    for game in GAMES:
        for index in (0, 1):
            services.writer(game, index).write(make_chunk(0, game=game))
    services.reader(0).read("pong", 1)
    for lineage in ("student", explorers_lineage("pong")):
        services.registry(lineage).publish(b"one", {})
    services.ledger("student").promote(Promotion(1, None, ("best",), {}, 0.0, "why"))
    name_of(services_of(one_redis_server.url, run_name, "other")).drop()
    assert keys_of(one_redis_server.url, run_name) and keys_of(other_server.url, run_name)
    name_of(services).drop()
    assert not keys_of(one_redis_server.url, run_name) and not keys_of(other_server.url, run_name)


def made_run(root: Path, name: str, url: str) -> RunFolder:
    config = RunConfig(general=DistillConfig(root=root, name=name), buffer=BufferConfig(buffer=url))
    return new_run(config, ["pong"])


def test_the_command_refuses_a_name_that_is_taken_and_leaves_no_folder(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: Capture
) -> None:
    name_of(services_of(one_redis_server.url, run_name, "other", root="/b")).take()
    arguments = ["--teachers", str(TEACHERS), "--games", "pong", "--root", str(tmp_path / "runs"), "--name", run_name]
    assert cli.run(["run", "--serial", *arguments, "--buffer", one_redis_server.url]) == 2
    assert f"found it taken by the run in /b/{run_name} on host-of-other" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "runs").exists()
    assert keys_of(one_redis_server.url, run_name) == [run_name]


def test_a_run_that_goes_on_elsewhere_ends_with_one_sentence() -> None:
    with new_sandbox() as sandbox:
        run = sandbox.train("demo", "--serial", "--games", "pong", "--updates", "1000000", "--eval-every", "1000000")
        run.until(lambda: updates(sandbox.run("demo")) > 0, "it trains")
        folder = RunFolder(sandbox.run("demo"))
        url = running_server(folder.redis)
        assert url is not None
        resumed = Holder("demo", folder.run_id(), "node-b", "/shared/demo", incarnation=incarnation_of(1, 0))
        with connect(url) as client:
            resumed.claim(client)
            resumed.claim(client, stream_keys("demo", "pong", 0).meta)
        assert run.wait() == 2
        last = run.output.strip().splitlines()[-1]
        assert last.startswith(
            "distill run: learner of student in run demo: expected no incarnation after 0, found 1000000"
        )
        assert last.endswith("nothing that it writes counts any more; let the other one go on")
        assert "Traceback" not in run.output


def test_deleting_a_folder_leaves_another_runs_keys(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: Capture
) -> None:
    url = one_redis_server.url
    folder = made_run(tmp_path, run_name, url)
    name_of(services_of(url, run_name, "other", root="/b")).take()
    assert cli.run(["runs", "--root", str(tmp_path), "--delete", run_name]) == 0
    said = capsys.readouterr().out
    assert f"is the run in /b/{run_name} on host-of-other; its keys stay" in said.replace("\n", " ")
    assert not folder.path.exists() and keys_of(url, run_name)
    assert cli.run(["runs", "--root", str(tmp_path), "--delete", run_name, "--buffer", url]) == 0
    assert not keys_of(url, run_name), "without a folder the name alone is meant"


def test_a_user_rolls_back_no_other_run(
    tmp_path: Path, one_redis_server: PrivateRedis, run_name: str, capsys: Capture
) -> None:
    folder = made_run(tmp_path, run_name, one_redis_server.url)
    ModelMirror(folder.path, "student").store(1, b"one", "{}")
    name_of(services_of(one_redis_server.url, run_name, "other", root="/b")).take()
    assert cli.run(["models", str(folder.path), "--lineage", "student", "--roll-back"]) == 2
    assert f"was taken by the run in /b/{run_name}" in capsys.readouterr().err.replace("\n", " ")
