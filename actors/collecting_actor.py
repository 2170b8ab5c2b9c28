"""What one collecting process does, made of plain parts."""

import os
from dataclasses import dataclass

from actors.collector import Collector, CollectorCounters
from actors.policy import warm_policy
from distill.config import CollectConfig
from distill.following import ModelFollower
from distill.histograms import HistogramTotals
from distill.inference import load_q_function, make_q_function
from distill.protocols import Services, WriterCounters


@dataclass(frozen=True)
class CollectorSpec:
    """What it takes to start a collector, also again after it died.

    Attributes:
        game: ROM name.
        teacher: the teacher's model file as bytes.
        config: lanes, chunk length, epsilon and driver.
        seed: the run's seed.
        producer: name of the actor, unique in the run.
        index: number of this actor among those of its game.
        incarnation: how often it was started before.
    """

    game: str
    teacher: bytes
    config: CollectConfig
    seed: int
    producer: str
    index: int
    incarnation: int


@dataclass(frozen=True)
class CollectorStatus:
    """What a collector says after each slice; counts run since its process began.

    Attributes:
        producer: its name.
        game: its game.
        pid: its process.
        steps: steps labelled.
        transitions: those of them that were handed to the writer.
        episodes: episodes that ended.
        episode_scores: raw scores of the newest teacher-driven episodes.
        teacher_version: version of the network that labels, 0 for one from a file.
        driver_version: version of the network that picks the actions in its stead, 0 if none.
        seconds: where the time went.
        histograms: seconds of `inference`, `environment` and `push`.
        writer: what the buffer's writer has done.
    """

    producer: str
    game: str
    pid: int
    steps: int
    transitions: int
    episodes: int
    episode_scores: tuple[float, ...]
    teacher_version: int
    driver_version: int
    seconds: dict[str, float]
    histograms: dict[str, HistogramTotals]
    writer: WriterCounters


class CollectingActor:
    """A collector with its teacher, its buffer connection and, if the student drives, its student.

    Args:
        spec: what to play.
        services: where chunks go and students come from.
    """

    def __init__(self, spec: CollectorSpec, services: Services) -> None:
        self._writer = services.writer(spec.game, spec.index)
        self._spec = spec
        self._collector = Collector(
            spec.game,
            warm_policy(load_q_function(spec.teacher)[0], spec.game),
            self._writer,
            spec.config,
            spec.config.epsilon,
            spec.seed,
            spec.producer,
            spec.incarnation,
            run_id=services.run_id,
        )
        self._student = ModelFollower(
            services.registry("student"), "latest", lambda network: warm_policy(make_q_function(network), spec.game)
        )

    def advance(self, seconds: float, student_share: float, steps: int | None = None) -> CollectorStatus:
        """Play for about `seconds`, or `steps` steps, the student driving that share of episodes."""
        if student_share > 0.0:
            self._collector.set_driver_share(student_share)
            student = self._student.poll()
            if student is not None:
                self._collector.set_driver(student.model, student.version)
        counters = self._collector.collect(seconds, steps)
        return status_of(self._spec.producer, self._collector, counters, self._writer.counters)

    def finish(self, timeout: float) -> int:
        """Push what is left within `timeout` seconds and close; return the number of chunks left behind."""
        self._student.close()
        left = self._collector.flush(timeout)
        self._collector.close()
        return left


def status_of(
    producer: str, collector: Collector, counters: CollectorCounters, writer: WriterCounters
) -> CollectorStatus:
    """Return a collector's status."""
    return CollectorStatus(
        producer=producer,
        game=collector.game,
        pid=os.getpid(),
        steps=counters.steps,
        transitions=counters.transitions,
        episodes=counters.episodes,
        episode_scores=tuple(counters.episode_scores),
        teacher_version=collector.teacher_version,
        driver_version=collector.driver_version,
        seconds=dict(counters.seconds),
        histograms={kind: histogram.totals for kind, histogram in counters.histograms.items()},
        writer=writer,
    )


def student_share(config: CollectConfig, updates: int) -> float:
    """Return the share of episodes that the student drives after `updates` learner updates."""
    if config.driver == "teacher":
        return 0.0
    if config.driver == "student":
        return 1.0
    return config.student_share * min(1.0, updates / config.student_share_updates)
