"""Simulated actors beside a real Redis and a real feed: pace, books, a full buffer, and servers that go away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from cluster.scale.books import Books, Taken, balance
from cluster.scale.servers import Servers
from cluster.scale.simulated import Recorded, SimulatedActors, Simulation
from cluster.services import RedisServices
from distill.chunks import Chunk, ChunkEncoder
from distill.errors import RunError
from learner.feed import Feed
from learner.label_replay import LabelReplay
from learner.limiter import SampleToInsertLimiter
from tests.support.chunk_examples import example_chunk
from tests.support.chunk_streams import until

STEPS, ACTIONS = 16, 6
ROOMY = Limits(capacity=2_000, backlog=10**9)


@dataclass
class World:
    """Servers, and what reads them."""

    servers: Servers
    private: list[PrivateRedis]
    feed: Feed
    taken: Taken

    def books(self, acknowledged: dict[str, int]) -> Books:
        """End the feed, and make the books."""
        self.feed.close()
        return balance(
            acknowledged,
            self.taken,
            self.servers.chunks(),
            inserted=self.feed.inserted["pong"],
            trimmed_chunks=self.servers.trimmed_chunks(),
        )

    def actors(self, count: int, pace: float = 4_000.0, *chunks: Recorded) -> SimulatedActors:
        return SimulatedActors(
            Simulation("pong", count, chunks or (recorded(), recorded(1)), pace, self.servers.services.address)
        )


def recorded(seed: int = 0, chunk: Chunk | None = None) -> Recorded:
    chunk = chunk or example_chunk(STEPS, ACTIONS, seed)
    return Recorded(chunk.header, ChunkEncoder().compress(chunk))


@contextmanager
def world(folder: Path, count: int = 1, limits: Limits = ROOMY) -> Iterator[World]:
    with ExitStack() as stack:
        private = [stack.enter_context(PrivateRedis(folder / str(n))) for n in range(count)]
        urls = [server.url for server in private]
        address = BufferAddress(",".join(urls), "scale", ("pong",), replace(limits, shards=count), "f0" * 8)
        clients = tuple(stack.enter_context(connect(url)) for url in urls)
        servers = Servers(RedisServices(address, None), "pong", clients)
        replay = LabelReplay(ACTIONS, 2_048, STEPS, torch.device("cpu"))
        feed = Feed(
            address.reader(), {"pong": replay}, {"pong": ACTIONS}, SampleToInsertLimiter(None, 1.0, 1), run_id="f0" * 8
        )
        taken = feed.witness = Taken()
        yield World(servers, private, feed, taken)


@pytest.mark.parametrize("servers, actors", [(1, 1), (1, 60), (3, 7)])
def test_the_books_balance_while_everything_is_read_and_trimmed(tmp_path: Path, servers: int, actors: int):
    with world(tmp_path, servers) as made:
        made.feed.start()
        simulated = made.actors(actors)
        simulated.advance(0.0)
        until(lambda: made.servers.trimmed_chunks() > 0, "chunks are trimmed")
        reading = simulated.advance(0.0)
        acknowledged = simulated.finish(10.0)
        books = made.books(acknowledged)
        assert books.balanced, books.wrong
        assert len(acknowledged) == actors
        assert books.acknowledged == sum(acknowledged.values()) == books.trained + books.trimmed + books.stored
        assert books.trimmed > 0
        assert 0 < reading.transitions <= STEPS * books.acknowledged
        assert sum(reading.pushes.counts) == reading.transitions / STEPS
        # Actors take the servers in turn.
        assert all(info.received > 0 for info in made.servers.readings())


def test_actors_keep_to_their_pace(tmp_path: Path):
    with world(tmp_path) as made:
        simulated = made.actors(4, 400.0)
        simulated.advance(0.0)
        first, second = simulated.advance(0.0), simulated.advance(1.0)
        rate = (second.transitions - first.transitions) / (second.at - first.at)
        simulated.finish(10.0)
        # A chunk is a fortieth of a second's work of all of them.
        assert rate <= 4 * 400.0 * 1.1
        assert rate > 0.0


def test_what_the_learner_has_not_read_is_stored_and_a_full_buffer_is_waited_for(tmp_path: Path):
    with world(tmp_path, limits=replace(ROOMY, backlog=10 * STEPS)) as made:
        simulated = made.actors(5)
        simulated.advance(0.0)
        until(lambda: simulated.advance(0.05).wait_seconds > 0.2, "actors wait")
        began = time.monotonic()
        acknowledged = simulated.finish(10.0)
        assert time.monotonic() - began < 5.0, "those who wait end at once"
        books = made.books(acknowledged)
        assert books == Books(acknowledged=10, stored=10)


def test_a_chunk_that_is_refused_is_in_the_books_with_its_reason(tmp_path: Path):
    bad = recorded()
    bad = replace(bad, columns={**bad.columns, "rewards": b"no zstd frame"})
    with world(tmp_path) as made:
        made.feed.start()
        simulated = made.actors(2, 4_000.0, recorded(), bad)
        until(lambda: simulated.advance(0.05).transitions > 20 * STEPS, "chunks are pushed")
        books = made.books(simulated.finish(10.0))
        assert books.balanced, books.wrong
        assert set(books.refused) == {"damaged"}
        assert abs(books.refused["damaged"] - (books.trained + books.trimmed)) <= 2 + books.stored


def test_a_server_that_comes_back_costs_nothing(tmp_path: Path):
    with world(tmp_path) as made:
        made.feed.start()
        simulated = made.actors(8)
        until(lambda: simulated.advance(0.05).transitions > 0, "chunks are pushed")
        pid = made.private[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: made.private[0].pid is None, "the server is gone")
        before = simulated.advance(0.1).transitions
        made.private[0].start()
        until(lambda: simulated.advance(0.05).transitions > before + 50 * STEPS, "chunks are pushed again")
        books = made.books(simulated.finish(10.0))
        assert books.lost == books.doubled == 0, books.wrong


def test_a_server_that_is_not_there_is_told(tmp_path: Path):
    with world(tmp_path) as made:
        made.private[0].stop()
        with pytest.raises(RunError, match="0 of 3 have connected"):
            made.actors(3).advance(0.0)


def test_more_actors_than_files_may_be_open_are_refused(tmp_path: Path):
    code = """
import resource
from cluster.scale.simulated import allow_connections
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
allow_connections(300)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500, 512)
allow_connections(1000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "1,000 simulated ones need 1,200 open files, this machine allows 512" in done.stderr


def test_the_simulation_needs_no_torch():
    code = "import sys, cluster.scale.simulated; print({'torch', 'ray'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
