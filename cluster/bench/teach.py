"""Training a teacher: explorer, Redis and Q-learner beside a loop that does the same in one process."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from actors.collector import Collector
from actors.exploring_actor import ExplorerSpec, ExploringActor
from cluster.bench.record import ChunkSink
from cluster.services import RedisServices
from distill.architectures import ARCHITECTURES
from distill.games import action_count
from distill.networks import QNetwork
from distill.teach_config import TeachConfig
from distill.typed_torch import from_numpy, manual_seed
from learner.device import autocast_dtype
from learner.n_step_replay import NStepReplay, NStepRule
from learner.plans import QPlan
from learner.q_trainer import QTrainer
from learner.q_updater import QUpdater

WARM_UP_SECONDS = 2.0
SLICE_SECONDS = 0.25


def run_explorer(game: str, config: TeachConfig, services: RedisServices, producer: str, seconds: float) -> int:
    """Explore for about `seconds` after the first network has come; return the steps played."""
    explorer = ExploringActor(ExplorerSpec(game, game, config.explore, 1, producer, 0, 0), services)
    began = time.perf_counter()
    steps = 0
    while time.perf_counter() - began < seconds:
        steps = explorer.advance(SLICE_SECONDS, 0).steps
    explorer.finish(0.0)
    return steps


def run_q_trainer(game: str, config: TeachConfig, services: RedisServices, directory: Path, seconds: float) -> float:
    """Return updates per second of a Q-learner's trainer, feed thread and publications included."""
    plan = QPlan(game, config.training, config.q_learner, config.explore.chunk_steps, 1, "fast", "bench")
    trainer = QTrainer(plan, {game: action_count(game)}, services, directory, threaded=True)
    while trainer.updater.updates == 0:
        trainer.advance(0.05)
    trainer.advance(WARM_UP_SECONDS)
    before, began = trainer.updater.updates, time.perf_counter()
    trainer.advance(seconds)
    rate = (trainer.updater.updates - before) / (time.perf_counter() - began)
    trainer.feed.close()
    return rate


def single_process_loop(game: str, config: TeachConfig, seconds: float) -> float:
    """Return updates per second of acting and learning in turns: same networks, replay, batch size and ratio.

    The network that learns acts, so nothing is published; chunks go straight into the replay.
    """
    manual_seed(1)
    settings, device = config.q_learner, torch.device("cpu")
    rule = NStepRule(settings.n_step, settings.discount, settings.clip_rewards, settings.life_loss_ends)
    replay = NStepReplay(rule, config.training.replay_capacity, config.explore.chunk_steps, device)
    updater = QUpdater(
        QNetwork(ARCHITECTURES[settings.network], {game: action_count(game)}),
        {game: replay},
        settings.optimization,
        double=settings.double_q,
        target_every=settings.target_every,
        device=device,
        dtype=autocast_dtype(device, config.training.precision),
        seed=1,
    )

    def act(observations: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return updater.network(from_numpy(observations), game).numpy()

    collector = Collector(game, act, ChunkSink(replay.append), config.explore, 1.0, seed=1)
    while len(replay) < config.training.min_replay:
        collector.collect(60.0, config.explore.chunk_steps)
    ratio = settings.q_sample_to_insert or 1.0
    lane_steps = max(1, round(settings.q_batch_size / ratio / config.explore.lanes))
    began = time.perf_counter()
    measured_from = began + WARM_UP_SECONDS
    updates = 0
    while (now := time.perf_counter()) < measured_from + seconds:
        if updates == 0 and now >= measured_from:
            began = now
        collector.collect(60.0, lane_steps)
        updater.update(0.0)
        updates += now >= measured_from
    collector.close()
    return updates / (time.perf_counter() - began)
