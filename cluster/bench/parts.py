"""The system's own side of every comparison, on the same objects that a run uses."""

import math
import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from actors.collecting_actor import CollectingActor, CollectorSpec
from cluster.buffer.push import EncodedChunk, Pusher
from cluster.redis.connection import connect
from cluster.redis.typed_redis import typed
from cluster.services import RedisServices
from cluster.state.kinds import student_plan
from distill.chunks import Chunk, ChunkDecoder
from distill.config import RunConfig
from distill.errors import RunError
from distill.games import action_count
from distill.protocols import Services
from learner.label_replay import LabelReplay
from learner.student_trainer import StudentTrainer

WARM_UP_SECONDS = 0.5
SLICE_SECONDS = 0.25


def run_collector(
    game: str, teacher: bytes, config: RunConfig, services: Services, producer: str, seconds: float
) -> float:
    """Return transitions per second of a collector that pushes to the buffer service."""
    actor = CollectingActor(CollectorSpec(game, teacher, config.collect, config.general.seed, producer, 0, 0), services)
    before = actor.advance(WARM_UP_SECONDS, 0.0)
    rows_before = rows = before.steps
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        rows = actor.advance(SLICE_SECONDS, 0.0).steps
    elapsed = time.perf_counter() - began
    actor.finish(5.0)
    return (rows - rows_before) / elapsed


def run_trainer(
    config: RunConfig, games: tuple[str, ...], services: Services, directory: Path, seconds: float
) -> float:
    """Return samples per second of a trainer, feed thread included, on what the buffer service holds and receives."""
    trainer = StudentTrainer(
        student_plan(config), {game: action_count(game) for game in games}, services, directory, threaded=True
    )
    while not all(len(replay) >= config.training.min_replay for replay in trainer.replays.values()):
        trainer.advance(0.05)
    trainer.advance(WARM_UP_SECONDS)
    before, began = trainer.limiter.get_state().sampled, time.perf_counter()
    trainer.advance(seconds)
    rate = (trainer.limiter.get_state().sampled - before) / (time.perf_counter() - began)
    trainer.feed.close()
    return rate


def fill_buffer(services: RedisServices, chunks: list[Chunk], transitions: int, producer_id: str) -> float:
    """Push recorded chunks again and again, each under a sequence number of its own; return transitions per second."""
    writer = services.writer(chunks[0].header.game, 0)
    pushed = sequence = 0
    began = time.perf_counter()
    while pushed < transitions:
        chunk = chunks[sequence % len(chunks)]
        while not writer.wait(1.0):
            pass
        writer.write(replace(chunk, header=replace(chunk.header, producer_id=producer_id, sequence=sequence)))
        sequence += 1
        pushed += chunk.header.steps
    writer.flush(30.0)
    rate = pushed / (time.perf_counter() - began)
    writer.close()
    return rate


def push_encoded(services: RedisServices, encoded: list[tuple[bytes, int]], game: str, transitions: int) -> float:
    """Return transitions per second of pushing chunks that are encoded already, eight to a round trip."""
    client = connect(services.address.servers[0])
    pusher = Pusher(client, services.address.run, game, services.address.limits)
    pushed = sequence = 0
    began = time.perf_counter()
    while pushed < transitions:
        batch: list[EncodedChunk] = []
        for _ in range(8):
            data, steps = encoded[sequence % len(encoded)]
            batch.append(EncodedChunk("bench", sequence, steps, data))
            sequence += 1
            pushed += steps
        if any(answer.status != "ok" for answer in pusher.push(batch, {})):
            raise RunError("bench: the buffer did not take a chunk")
    rate = pushed / (time.perf_counter() - began)
    client.close()
    return rate


def read_all(services: RedisServices, game: str, decode: bool) -> float:
    """Return transitions per second of reading a game's whole stream, decoded or not."""
    reader = services.reader(0)
    decoder = ChunkDecoder()
    transitions = 0
    began = time.perf_counter()
    while stored := reader.read(game, 8):
        for entry in stored:
            if decode:
                decoder.decode(entry.data)
            transitions += entry.steps
    rate = transitions / (time.perf_counter() - began)
    reader.close()
    return rate


def gather_seconds(chunks: list[Chunk], capacity: int, batch_size: int, batches: int) -> float:
    """Return seconds per gather, two games in turn, each replay full at `capacity` transitions."""
    device = torch.device("cpu")
    replays = [LabelReplay(chunks[0].header.actions, capacity, chunks[0].header.steps, device) for _ in range(2)]
    for replay in replays:
        stored = 0
        while stored < capacity:
            chunk = chunks[(stored // chunks[0].header.steps) % len(chunks)]
            replay.append(chunk)
            stored += chunk.header.steps
    generator = torch.Generator(device).manual_seed(0)
    for index in range(20):
        replays[index % 2].sample(batch_size, generator)
    began = time.perf_counter()
    for index in range(batches):
        replays[index % 2].sample(batch_size, generator)
    return (time.perf_counter() - began) / batches


def compressed_bytes(chunks: Sequence[Chunk]) -> float:
    """Return the bytes per transition of a compressed replay that these chunks fill."""
    header = chunks[0].header
    replay = LabelReplay(header.actions, header.steps * len(chunks), header.steps, torch.device("cpu"), compressed=True)
    for chunk in chunks:
        replay.append(chunk)
    return replay.size / len(replay)


def full_replay_memory(
    config: RunConfig, games: tuple[str, ...], services: RedisServices, directory: Path
) -> tuple[int, int]:
    """Fill a trainer's replays from the buffer and train a little; return its peak memory and Redis's, in bytes."""
    trainer = StudentTrainer(
        student_plan(config), {game: action_count(game) for game in games}, services, directory, threaded=True
    )
    deadline = time.monotonic() + 600.0
    while (
        min(map(len, trainer.replays.values())) < 0.99 * config.training.replay_capacity and time.monotonic() < deadline
    ):
        trainer.advance(0.2)
    trainer.advance(math.inf, updates=50)
    trainer.checkpoint()
    held = min(map(len, trainer.replays.values()))
    trainer.feed.close()
    if held < 0.99 * config.training.replay_capacity:
        raise RunError(
            f"bench: a replay held {held} of {config.training.replay_capacity} transitions after ten minutes"
        )
    client = connect(services.address.servers[0])
    redis_bytes = int(typed(client).info("memory")["used_memory_peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, redis_bytes
