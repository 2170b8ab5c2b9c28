"""The learners on a CUDA device beside bare loops, all in one process, since each begins with seconds of making it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch

from cluster.bench.bare_cuda import graphed_q_learner, graphed_student
from cluster.bench.rows import Row
from cluster.services import RedisServices
from cluster.state.kinds import student_plan
from distill.chunks import Chunk
from distill.config import RunConfig
from distill.games import action_count
from distill.teach_config import TeachConfig
from learner.label_replay import LabelReplay
from learner.plans import QPlan
from learner.q_trainer import QTrainer
from learner.student_trainer import StudentTrainer
from learner.trainer import Trainer

BAR = "ratio at least 0.9"
WARM_UP_SECONDS = 0.5
CHUNKS_UPLOADED = 2_000


def student_rows(
    configs: Sequence[RunConfig], game: str, services: RedisServices, directory: Path, rounds: int, seconds: float
) -> list[Row]:
    """Measure the learner of `distill run` under every configuration."""
    rows: list[Row] = []
    for number, config in enumerate(configs):
        student, settings = config.student.student, config.learner.optimization
        call = (student, settings.batch_size, settings.optimizer)
        # The bare loops first: while they are captured, nobody else may ask the device for anything.
        bare = {"a graph": graphed_student(*call, compile_loss=False)}
        if settings.optimizer == "adamw":
            bare["a compiled graph"] = graphed_student(*call, compile_loss=True)
        trainer = StudentTrainer(
            student_plan(config), {game: action_count(game)}, services, directory / f"student-{number}", threaded=True
        )
        what = f"learner, {student}, batch {settings.batch_size}, {settings.optimizer}"
        rows += _compare(what, trainer, bare, rounds, seconds)
    return rows


def q_rows(
    configs: Sequence[TeachConfig], game: str, services: RedisServices, directory: Path, rounds: int, seconds: float
) -> list[Row]:
    """Measure the Q-learner of `distill teach` under every configuration."""
    rows: list[Row] = []
    for number, config in enumerate(configs):
        learner = config.q_learner
        plan = QPlan(game, config.training, learner, config.explore.chunk_steps, 1, "fast", "bench")
        bare = {
            "a graph": graphed_q_learner(learner.q_batch_size, compile_loss=False),
            "a compiled graph": graphed_q_learner(learner.q_batch_size, compile_loss=True),
        }
        trainer = QTrainer(plan, {game: action_count(game)}, services, directory / f"q-{number}", threaded=True)
        rows += _compare(f"Q-learner, {learner.network}, batch {learner.q_batch_size}", trainer, bare, rounds, seconds)
    return rows


def upload_rows(chunks: Sequence[Chunk], rounds: int) -> list[Row]:
    """Measure how fast decoded chunks get into a replay on the device."""
    device = torch.device("cuda")
    replay = LabelReplay(chunks[0].header.actions, 100_000, chunks[0].header.steps, device)
    rates = list[float]()
    for _ in range(rounds + 1):
        began = time.perf_counter()
        for number in range(CHUNKS_UPLOADED):
            replay.append(chunks[number % len(chunks)])
        torch.cuda.synchronize()
        rates.append(CHUNKS_UPLOADED * chunks[0].header.steps / (time.perf_counter() - began))
    return [Row("decoded chunks to the device", median(rates[1:]), "transitions/s")]


def _compare(
    what: str, trainer: Trainer, bare: dict[str, Callable[[], None]], rounds: int, seconds: float
) -> list[Row]:
    while trainer.updater.updates == 0:
        trainer.advance(0.05)
    trainer.advance(WARM_UP_SECONDS)
    ours = list[float]()
    others: dict[str, list[float]] = {name: [] for name in bare}
    for _ in range(rounds):
        for name, update in bare.items():
            others[name].append(_rate(update, seconds))
        before, began = trainer.updater.updates, time.perf_counter()
        trainer.advance(seconds)
        torch.cuda.synchronize()
        ours.append((trainer.updater.updates - before) / (time.perf_counter() - began))
    trainer.feed.close()
    best = [max(figures) for figures in zip(*others.values(), strict=True)]
    ratios = [mine / other for mine, other in zip(ours, best, strict=True)]
    rows = [Row(what, median(ours), "updates/s", median(best), median(ratios), BAR)]
    rows += [Row(f"{what}: {name} alone", median(figures), "updates/s") for name, figures in others.items()]
    return rows


def _rate(update: Callable[[], None], seconds: float) -> float:
    torch.cuda.synchronize()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        update()
        count += 1
    torch.cuda.synchronize()
    return count / (time.perf_counter() - began)
