"""What Ray runs in a cell: an actor, a learner, or a bare loop, each with a clock of its own CPU time."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from actors.collecting_actor import CollectingActor, CollectorSpec
from cluster.bench.bare import BARE_VARIANTS, BareVariant, bare_collector, bare_learner
from cluster.scale.books import Taken
from cluster.scale.readings import ActorsReading, LearnerReading
from cluster.state.kinds import student_plan
from distill.config import RunConfig
from distill.protocols import Services
from learner.memory import keep_freed_memory
from learner.student_trainer import StudentTrainer


class MeasuredActor:
    """A collector that tells what it costs.

    Args:
        spec: what it plays.
        services: where its chunks go.
    """

    def __init__(self, spec: CollectorSpec, services: Services) -> None:
        self._actor = CollectingActor(spec, services)

    def advance(self, seconds: float) -> ActorsReading:
        """Play for about `seconds`."""
        status = self._actor.advance(seconds, 0.0)
        return ActorsReading(
            at=time.monotonic(),
            cpu_seconds=time.process_time(),
            transitions=status.steps,
            bytes=status.writer.bytes,
            wait_seconds=status.seconds["wait"],
            pushes=status.histograms["push"],
        )

    def finish(self, timeout: float) -> int:
        """Push what is left within `timeout` seconds; return the number of chunks left behind."""
        return self._actor.finish(timeout)


class MeasuredLearner:
    """A student's trainer that tells what it costs, and keeps books of the chunks that it takes.

    Args:
        config: of a run.
        actions: A of every game.
        services: where chunks come from.
        learn: whether it makes updates; if not, it only takes chunks into its replays.
    """

    def __init__(self, config: RunConfig, actions: Mapping[str, int], services: Services, learn: bool) -> None:
        # It writes no checkpoint while it is measured, and may be ended at any moment: nothing of it is to be left.
        with tempfile.TemporaryDirectory(prefix="distill-scale-") as folder:
            self._trainer = StudentTrainer(student_plan(config), actions, services, Path(folder), threaded=True)
        self._learn = learn
        self._taken = self._trainer.feed.witness = Taken()

    def advance(self, seconds: float) -> LearnerReading:
        """Go on for about `seconds`."""
        if not self._learn:
            time.sleep(seconds)
        status = self._trainer.advance(seconds if self._learn else 0.0)
        return LearnerReading(
            at=time.monotonic(),
            cpu_seconds=time.process_time(),
            inserted=sum(status.inserted.values()),
            samples=status.samples,
            sample_wait_seconds=status.sample_wait_seconds,
            insert_wait_seconds=status.insert_wait_seconds,
        )

    def finish(self) -> tuple[Taken, int]:
        """Read no more; return what became of the chunks, and how many transitions the learner counts as inserted."""
        self._trainer.feed.close()
        return self._taken, sum(self._trainer.feed.inserted.values())


class BareLoop:
    """A process of a bare loop: ready first, so that all of them begin at the same time."""

    def ready(self) -> bool:
        """Answer once PyTorch is there."""
        keep_freed_memory()
        torch.set_num_threads(1)
        return True

    def collect(self, game: str, teacher: bytes, lanes: int, seconds: float) -> float:
        """Return steps per second of plain emulators and a plain forward."""
        return bare_collector(game, teacher, lanes, seconds)

    def fastest(self, config: RunConfig, device: str, seconds: float) -> BareVariant:
        """Return the way to write the training loop that is fastest here."""
        return max(BARE_VARIANTS, key=lambda variant: self.learn(variant, config, device, seconds))

    def learn(self, variant: BareVariant, config: RunConfig, device: str, seconds: float) -> float:
        """Return samples per second of a plain training loop."""
        settings = config.learner.optimization
        return bare_learner(variant, config.student.student, settings.batch_size, settings.optimizer, device, seconds)
