"""Redis answers reads and refuses writes for a while: whatever is owed is paid when that ends, by itself."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import torch

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.stats import game_stats
from cluster.redis.connection import connect
from cluster.redis.scripts import load_scripts
from learner.feed import Feed
from learner.label_replay import LabelReplay
from learner.limiter import SampleToInsertLimiter
from tests.cluster.buffer.test_buffer_refusals import serving
from tests.support.chunk_streams import make_chunk, until

STEPS, BACKLOG = 4, 40
FIRST, ALL = 9, 25
Change = Callable[[redis.Redis, Path], object]


def fail_to_save(client: redis.Redis, folder: Path) -> None:
    """Let a snapshot fail, as on a full disk: the name of its file is taken by a folder."""
    (folder / "dump.rdb" / "inside").mkdir(parents=True)
    client.config_set("save", "3600 1")
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot fails")


def save_again(client: redis.Redis, folder: Path) -> None:
    shutil.rmtree(folder / "dump.rdb")
    client.save()


def drop_others(client: redis.Redis) -> None:
    client.client_kill_filter(_type="normal", skipme=True)


REFUSALS: dict[str, tuple[str, Change, Change]] = {
    "replicas": (
        "NOREPLICAS",
        lambda client, _: client.config_set("min-replicas-to-write", 1),
        lambda client, _: client.config_set("min-replicas-to-write", 0),
    ),
    "full disk": (
        "MISCONF",
        fail_to_save,
        save_again,
    ),
    "demoted": (
        "READONLY|read only replica",
        lambda client, _: client.replicaof("127.0.0.1", 1),
        lambda client, _: client.replicaof("NO", "ONE"),
    ),
    # Newer servers hang up on whoever sends a long command before a password.
    "password": (
        "NOAUTH|Authentication required|Broken pipe|reset by peer",
        lambda client, _: [client.config_set("requirepass", "secret"), drop_others(client)],
        lambda client, _: client.config_set("requirepass", ""),
    ),
    "rights": (
        "NOPERM|can't run this command|no permissions",
        lambda client, _: client.execute_command("ACL", "SETUSER", "default", "-xadd", "-hset"),
        lambda client, _: client.execute_command("ACL", "SETUSER", "default", "+@all"),
    ),
    "clients": (
        "max number of clients",
        lambda client, _: [client.config_set("maxclients", 1), drop_others(client)],
        lambda client, _: client.config_set("maxclients", 100),
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_feed_that_read_to_the_end_pays_its_commit(refusal: str, redis_binary: str, tmp_path: Path) -> None:
    said, refuse, allow = REFUSALS[refusal]
    with serving(redis_binary, tmp_path / "redis", "--save", "") as port:
        address = BufferAddress(f"redis://127.0.0.1:{port}", "run", ("pong",), Limits(10 * BACKLOG, BACKLOG))
        writer = address.writer("pong")
        replay = LabelReplay(6, 4096, 1024, torch.device("cpu"))
        feed = Feed(address.reader(), {"pong": replay}, {"pong": 6}, SampleToInsertLimiter(None, 1.0, 0))
        with connect(address.registry) as other, redis.Redis(port=port, protocol=2) as client:
            load_scripts(client)
            # Its first read notes who it is, which is a write.
            assert feed.poll() == 0
            # There is room for one more.
            for sequence in range(FIRST):
                writer.write(make_chunk(sequence, steps=STEPS))
            refuse(client, tmp_path / "redis")
            for sequence in range(FIRST, ALL):
                writer.write(make_chunk(sequence, steps=STEPS))
            until(
                lambda: bool(writer.flush(0.0) and re.search(said, writer.trouble or "")),
                f"the writer says {said}",
                5.0,
            )
            assert "buffer service at redis://" in (writer.trouble or "") and writer.counters.outages > 0
            until(lambda: feed.poll_patiently() == 0 and feed.outages > 2, "the feed has read to the end")
            allow(client, tmp_path / "redis")
            until(lambda: feed.poll_patiently() == 0 and writer.flush(0.0) == 0, "all is pushed")

            def all_is_committed() -> bool:
                feed.poll_patiently()
                return game_stats(other, "run", "pong").unread == 0

            until(all_is_committed, "all is committed")
            assert feed.inserted["pong"] == len(replay) == ALL * STEPS
            assert (writer.counters.lost, feed.duplicates) == (0, 0)
        feed.close()
        writer.close()
