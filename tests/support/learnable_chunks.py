"""What the learner's tests share: chunks of a made-up but learnable game, pushed through a real Redis."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from distill.architectures import ARCHITECTURES
from distill.chunks import NO_RUN, Chunk, ChunkHeader, column_shapes
from distill.config import RunConfig, parse_settings
from distill.networks import QNetwork
from learner.label_replay import LabelReplay
from learner.student_updater import StudentUpdater

STEPS = 16


def learnable_chunk(
    game: str, actions: int, sequence: int, producer_id: str | None = None, *, q_values: np.ndarray | None = None
) -> Chunk:
    """Return a chunk whose best action can be read off the newest frame."""
    random = np.random.default_rng([sequence, len(game)])
    shapes = column_shapes(STEPS, actions)
    best = random.integers(actions, size=STEPS + 3)
    # A bright band whose height tells the action.
    rows = np.arange(84)[None, :] * actions // 84 == best[:, None]
    frames = np.broadcast_to((200 * rows).astype(np.uint8)[:, :, None], shapes["frames"])
    flags = {name: np.zeros(STEPS, bool) for name in ("terminated", "truncated", "life_lost")}
    labels = np.eye(actions, dtype=np.float32)[best[3:]] * 0.1
    return Chunk(
        ChunkHeader(NO_RUN, game, "tester", producer_id or f"producer-of-{game}", sequence, 0, 0, STEPS, actions, 3),
        frames=np.ascontiguousarray(frames),
        q_values=labels if q_values is None else q_values,
        taken=best[3:].astype(np.uint8),
        rewards=np.zeros(STEPS, np.float32),
        **flags,
    )


def services_of(server: PrivateRedis, run: str, games: tuple[str, ...], directory: Path) -> RedisServices:
    """Connect to a real Redis."""
    limits = Limits(capacity=100_000, backlog=100_000)
    return RedisServices(BufferAddress(server.url, run, games, limits), directory)


def push(services: RedisServices, game: str, chunks: list[Chunk]) -> None:
    """Push chunks and wait until the server has them."""
    writer = services.writer(game, 0)
    for chunk in chunks:
        assert writer.wait(5.0)
        writer.write(chunk)
    assert writer.flush(5.0) == 0
    writer.close()


def renumbered(chunk: Chunk, sequence: int) -> Chunk:
    """Return the chunk under another sequence number."""
    return replace(chunk, header=replace(chunk.header, sequence=sequence))


def tiny_config(settings: Mapping[str, Any] | None = None) -> RunConfig:
    """Return a configuration that trains in milliseconds."""
    defaults = {
        "student": "one_percent",
        "chunk_steps": STEPS,
        "lanes": 2,
        "replay_capacity": 4_096,
        "min_replay": 64,
        "batch_size": 16,
        "sample_to_insert": 8.0,
        "sample_to_insert_window": 100_000.0,
        "updates": 200,
        "eval_every": 50,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "precision": "float32",
        "device": "cpu",
    }
    return parse_settings(RunConfig, defaults | dict(settings or {}), "test")


def make_student_updater(
    seed: int = 3, optimizer: str = "adamw", student: str = "one_percent", average: float = 0.0
) -> StudentUpdater:
    """Return an updater of Pong with a filled replay; the same seed makes the same one."""
    torch.manual_seed(seed)
    config = tiny_config({"optimizer": optimizer, "student": student, "average": average})
    replay = LabelReplay(6, 2_048, 16, torch.device("cpu"))
    for sequence in range(20):
        replay.append(learnable_chunk("pong", 6, sequence))
    network = QNetwork(ARCHITECTURES[student], {"pong": 6})
    return StudentUpdater(
        network, {"pong": replay}, config.student, config.learner.optimization, torch.device("cpu"), None, seed
    )
