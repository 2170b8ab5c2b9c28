"""Plays one game on N lanes, labels every step with a network's q-values, and writes chunks to the buffer service."""

import secrets
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from actors.chunk_builder import ChunkBuilder
from actors.exploration import Exploration
from actors.policy import Policy
from distill.chunks import NO_RUN
from distill.config import PlayConfig
from distill.games import action_count, make_environment, reset_seed
from distill.histograms import BOUNDS, Histogram
from distill.protocols import ChunkWriter

FULL_WAIT_SECONDS = 0.1


@dataclass
class CollectorCounters:
    """What a collector has done since it was made.

    Attributes:
        steps: steps labelled.
        transitions: those of them that were handed to the writer, a chunk at a time.
        episodes: episodes that ended.
        episode_scores: raw scores of the newest 100 episodes that the teacher drove.
        driven_transitions: steps whose action another driver than the teacher picked.
        seconds: where the time went: `inference`, `environment`, `push`, `wait`.
        histograms: seconds of every forward, every step of all lanes, and every chunk's packing and pushing.
    """

    steps: int = 0
    transitions: int = 0
    episodes: int = 0
    episode_scores: deque[float] = field(default_factory=lambda: deque(maxlen=100))
    driven_transitions: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: {"inference": 0.0, "environment": 0.0, "push": 0.0, "wait": 0.0}
    )
    histograms: dict[str, Histogram] = field(
        default_factory=lambda: {kind: Histogram(BOUNDS[kind]) for kind in ("inference", "environment", "push")}
    )


class Collector:
    """A teacher at N emulators of its game.

    Args:
        game: ROM name.
        teacher: labels every observation, and picks the actions unless another driver does; see `set_driver`.
        writer: the buffer service's producer side.
        config: lanes, threads and chunk length.
        epsilon: share of steps whose action is uniformly random; `set_epsilon` changes it.
        seed: the run's seed.
        producer: name of this actor, unique in the run.
        incarnation: how often this actor was started before, so that a replacement plays other episodes.
        epsilon_repeat: most steps that a random action lasts.
        run_id: random id of the run.
        producer_id: of this process, where it is not to be a random one.
    """

    def __init__(
        self,
        game: str,
        teacher: Policy,
        writer: ChunkWriter,
        config: PlayConfig,
        epsilon: float,
        seed: int,
        producer: str = "collector",
        incarnation: int = 0,
        epsilon_repeat: int = 1,
        run_id: str = NO_RUN,
        producer_id: str | None = None,
    ) -> None:
        self.game = game
        self.producer_id = producer_id or secrets.token_hex(8)
        self.counters = CollectorCounters()
        self._teacher = teacher
        self._driver: Policy | None = None
        self._driver_share = 0.0
        self._writer = writer
        self._config = config
        stream = (*producer.encode(), incarnation)
        self._random = np.random.default_rng([seed, *stream])
        self._exploration = Exploration(config.lanes, epsilon, epsilon_repeat, self._random)
        self._builder = ChunkBuilder(
            run_id, game, producer, self.producer_id, config.lanes, config.chunk_steps, action_count(game)
        )
        self._environment = make_environment(game, config.lanes, threads=config.env_threads)
        self._observations, info = self._environment.reset(seed=reset_seed(seed, *stream))
        self._lives = info["lives"]
        self._ages = np.zeros(config.lanes, np.int64)
        self._returns = np.zeros(config.lanes)
        # The row after an episode's end only resets its lane: it is no transition.
        self._ended = np.zeros(config.lanes, np.bool_)
        self._driven = np.zeros(config.lanes, np.bool_)
        self._full_lanes: deque[int] = deque()

    @property
    def teacher_version(self) -> int:
        """Version of the network that labels, 0 for one from a file."""
        return self._builder.teacher_version

    @property
    def driver_version(self) -> int:
        """Version of the driver that plays in the teacher's stead, 0 if none does."""
        return self._builder.driver_version

    def set_teacher(self, policy: Policy, version: int) -> None:
        """Let this network label from the next step on; a chunk names the version that labelled its first step."""
        self._teacher = policy
        self._builder.teacher_version = version

    def set_epsilon(self, epsilon: float) -> None:
        """Act at random in this share of the steps from the next one on."""
        self._exploration.epsilon = epsilon

    def set_driver_share(self, share: float) -> None:
        """Let the driver have this share of the episodes that begin from now on, once there is one."""
        self._driver_share = share

    def set_driver(self, policy: Policy, version: int) -> None:
        """Let this network pick the actions of its share of the episodes: a student, or a Q-network that is learning.

        The first one gets some lanes at once, a newer one takes over those of the one before.

        Args:
            policy: its q-values for this game.
            version: its version, which every chunk names.
        """
        first = self._driver is None
        self._driver = policy
        self._builder.driver_version = version
        if first:
            self._driven = self._random.random(self._config.lanes) < self._driver_share

    def collect(self, seconds: float, steps: int | None = None) -> CollectorCounters:
        """Play for about `seconds`, or `steps` steps of every lane; wait, within that time, while the buffer is full.

        Returns:
            The running counters.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and steps != 0:
            if self._write_full_lanes(deadline):
                self._step()
                steps = None if steps is None else steps - 1
        self._write_full_lanes(deadline)
        return self.counters

    def flush(self, timeout: float) -> int:
        """Write and push what every lane holds within `timeout` seconds; return the number of chunks left behind."""
        self._full_lanes.extend(lane for lane in self._builder.partial_lanes() if lane not in self._full_lanes)
        deadline = time.monotonic() + timeout
        while not self._write_full_lanes(deadline):
            if time.monotonic() >= deadline:
                break
        return len(self._full_lanes) + self._writer.flush(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Close emulators and connection."""
        self._environment.close()
        self._writer.close()

    def _write_full_lanes(self, deadline: float) -> bool:
        began = time.perf_counter()
        waited = 0.0
        while self._full_lanes:
            waiting = time.perf_counter()
            has_room = self._writer.wait(min(FULL_WAIT_SECONDS, max(0.0, deadline - time.monotonic())))
            waited += time.perf_counter() - waiting
            if not has_room:
                break
            pushing = time.perf_counter()
            chunk = self._builder.take(self._full_lanes.popleft())
            self._writer.write(chunk)
            self.counters.histograms["push"].observe(time.perf_counter() - pushing)
            self.counters.transitions += chunk.header.steps
        self.counters.seconds["wait"] += waited
        self.counters.seconds["push"] += time.perf_counter() - began - waited
        return not self._full_lanes

    def _step(self) -> None:
        counters, times = self.counters, self.counters.seconds
        began = time.perf_counter()
        observations = self._observations
        labels = self._teacher(observations)
        driving = labels
        driven = np.flatnonzero(self._driven)
        if self._driver is not None and len(driven):
            driving = labels.copy()
            driving[driven] = self._driver(observations[driven])
        taken = self._exploration.choose(driving)
        inferred = time.perf_counter()
        self._observations, rewards, terminated, truncated, info = self._environment.step(taken)
        stepped = time.perf_counter()
        times["inference"] += inferred - began
        times["environment"] += stepped - inferred
        counters.histograms["inference"].observe(inferred - began)
        counters.histograms["environment"].observe(stepped - inferred)

        played = np.flatnonzero(~self._ended)
        flags = np.stack((terminated, truncated, info["lives"] < self._lives))
        self._full_lanes.extend(self._builder.add(played, observations, self._ages, labels, taken, rewards, flags))
        counters.steps += len(played)
        counters.driven_transitions += int(self._driven[played].sum())
        self._returns[played] += rewards[played]
        self._ages = np.where(self._ended, 0, self._ages + 1)
        self._lives = info["lives"]
        self._ended = (terminated | truncated) & ~self._ended
        ended = np.flatnonzero(self._ended)
        self._exploration.end(ended)
        for lane in ended:
            counters.episodes += 1
            if not self._driven[lane]:
                counters.episode_scores.append(float(self._returns[lane]))
            self._returns[lane] = 0.0
            self._driven[lane] = self._driver is not None and self._random.random() < self._driver_share
        times["push"] += time.perf_counter() - stepped
