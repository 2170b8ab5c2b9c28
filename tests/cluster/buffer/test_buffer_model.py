"""Any order of pushes, reads, commits, rewinds and losses against a plain list."""

import uuid
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cluster.buffer.push import EncodedChunk, Limits, Pusher
from cluster.buffer.reader import RedisChunkReader
from cluster.buffer.stats import delete_run, game_stats
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis

CAPACITY, BACKLOG = 60, 50
PRODUCERS = st.sampled_from(["a", "b"])
STEPS = st.integers(1, 30)
RANKS = st.integers(0, 1)


@dataclass
class ModelReader:
    position: int = 0
    reached: int = 0
    epoch: int = 0


@dataclass
class ModelStream:
    """What a stream should be: the kept chunks as (end, steps, producer_id, sequence)."""

    kept: list[tuple[int, int, str, int]] = field(default_factory=list)
    total: int = 0
    last: dict[str, int] = field(default_factory=dict)
    cursors: list[int] = field(default_factory=lambda: [0, 0])

    def push(self, producer_id: str, sequence: int, steps: int) -> str:
        last = self.last.get(producer_id, -1)
        if sequence <= last:
            return "duplicate"
        if sequence > last + 1:
            return "gap"
        unread = self.total - min(self.cursors)
        if unread and unread + steps > BACKLOG:
            return "full"
        self.total += steps
        self.last[producer_id] = sequence
        self.kept.append((self.total, steps, producer_id, sequence))
        behind = min(self.total - CAPACITY, *self.cursors)
        self.kept = [chunk for chunk in self.kept if chunk[0] > behind]
        return "ok"


def test_the_stream_is_a_plain_list(one_redis_server: PrivateRedis) -> None:
    client = connect(one_redis_server.url)

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.run = uuid.uuid4().hex
            self.pusher = Pusher(client, self.run, "pong", Limits(CAPACITY, BACKLOG, readers=2))
            self.readers = [RedisChunkReader([client], self.run, ["pong"], rank=rank) for rank in range(2)]
            self.model = ModelStream()
            self.model_readers = [ModelReader(), ModelReader()]
            self.epoch = 1

        def teardown(self) -> None:
            delete_run(client, self.run)

        @rule(producer_id=PRODUCERS, steps=STEPS, ahead=st.sampled_from([-1, 0, 0, 0, 0, 1]))
        def push(self, producer_id: str, steps: int, ahead: int) -> None:
            sequence = max(0, self.model.last.get(producer_id, -1) + 1 + ahead)
            (answer,) = self.pusher.push([EncodedChunk(producer_id, sequence, steps, b"%d" % sequence)], {})
            assert answer.status == self.model.push(producer_id, sequence, steps)

        @rule(steps=st.lists(STEPS, min_size=2, max_size=5))
        def push_several(self, steps: list[int]) -> None:
            first = self.model.last.get("c", -1) + 1
            chunks = [EncodedChunk("c", first + index, length, b"c") for index, length in enumerate(steps)]
            answers = self.pusher.push(chunks, {})
            assert [a.status for a in answers] == [self.model.push("c", c.sequence, c.steps) for c in chunks]

        @rule(rank=RANKS, count=st.integers(1, 6))
        def read(self, rank: int, count: int) -> None:
            reader = self.model_readers[rank]
            if reader.epoch != self.epoch:
                reader.position = reader.reached = 0
            reader.epoch = self.epoch
            expected = [chunk for chunk in self.model.kept if chunk[0] > reader.position][:count]
            found = self.readers[rank].read("pong", count)
            assert [(chunk.end, chunk.steps, chunk.producer_id, chunk.sequence) for chunk in found] == expected
            if expected:
                reader.position = expected[-1][0]
            reader.reached = max(reader.reached, reader.position)

        @rule(rank=RANKS)
        def commit(self, rank: int) -> None:
            self.readers[rank].commit()
            reader = self.model_readers[rank]
            if reader.epoch == self.epoch:
                self.model.cursors[rank] = max(self.model.cursors[rank], reader.reached)

        @rule(rank=RANKS)
        def rewind(self, rank: int) -> None:
            self.readers[rank].rewind()
            self.model_readers[rank].position = 0

        @rule()
        def lose_everything(self) -> None:
            if self.model.total:
                delete_run(client, self.run)
                self.model = ModelStream()
                self.epoch += 1

        @invariant()
        def counts_agree(self) -> None:
            stats = game_stats(client, self.run, "pong", readers=2)
            assert stats.transitions == sum(steps for _, steps, _, _ in self.model.kept)
            assert stats.chunks == len(self.model.kept)
            assert stats.unread == self.model.total - min(self.model.cursors)
            assert stats.pushed_chunks == stats.chunks + stats.trimmed_chunks

    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
    client.close()
