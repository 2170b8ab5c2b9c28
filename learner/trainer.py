"""Runs a learner: waits for data, updates, publishes versions, writes checkpoints, resumes from them."""

import contextlib
import logging
import math
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch

from distill.config import Pace, TrainingConfig
from distill.errors import BufferUnavailable, DistillError, RunError
from distill.machine_errors import machine_error
from distill.model_card import ModelCard
from distill.models import StorageType, model_bytes
from distill.protocols import ChunkReader, ModelRegistry
from learner.checkpoints import CheckpointStore
from learner.feed import Feed, FeedState
from learner.gradient_updater import Update
from learner.joint_checkpoint import begin_alike, bring_together
from learner.limiter import SampleToInsertLimiter
from learner.ranks import Ranks
from learner.refusals import REFUSED_SECONDS, Refusals
from learner.replay import GameReplay
from learner.status import LearnerStatus, TrainerState
from learner.updater_tensors import AnyUpdater, load_updater_tensors, updater_tensors

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.002
PUBLISH_RETRY_SECONDS = 10.0


class Trainer(ABC):
    """One learner: updater, replays, feed and checkpoints. A plain class: `learner.remote` makes it a Ray actor.

    It resumes from the newest checkpoint in `directory`, if there is one; the buffer then fills its replay again.
    A kind of trainer says when versions are due and what their card is; publishing is done here.

    Several ranks train together if all get the same calls in the same order: each with its own replay and feed, all
    with the same updates. They go by the clock of the first, which alone publishes and has the checkpoints. Whatever a
    rank decides follows from that clock and from what all have done, so all decide the same.

    Args:
        lineage: the models that it publishes, see `Services.registry`.
        registry: that of these models.
        updater: makes the updates.
        replays: one replay a game.
        actions: A of every game.
        reader: where chunks come from.
        training: of the run's configuration.
        batch_size: transitions per update.
        pace: how often the learner may sample.
        directory: folder for checkpoints.
        threaded: let a feed thread fill the replay; without it `advance` does so itself, as far as data is there.
        run_id: random id of the run; chunks of another one are refused.
        incarnation: of this learner; one with a greater number owns the checkpoints.
        ranks: those that train together, if there are several; batch size, pace and replays are then this one's share.

    What is done together raises RuntimeError if a rank is lost; then all have to be made anew.
    """

    stored_as: ClassVar[StorageType] = "float32"
    """How the weights of its versions are stored."""

    def __init__(
        self,
        lineage: str,
        registry: ModelRegistry,
        updater: AnyUpdater,
        replays: Mapping[str, GameReplay[Any]],
        actions: Mapping[str, int],
        reader: ChunkReader,
        training: TrainingConfig,
        batch_size: int,
        pace: Pace,
        directory: Path,
        *,
        threaded: bool,
        run_id: str,
        incarnation: int,
        ranks: Ranks | None = None,
    ) -> None:
        self.updater = updater
        self.replays = dict(replays)
        self._lineage = lineage
        self._registry = registry
        self._training = training
        self._batch_size = batch_size
        self._ranks = ranks
        self._first = ranks is None or ranks.first
        self._store = CheckpointStore(directory, training.keep_last, incarnation) if self._first else None
        state = self._restore()
        least = training.min_replay * len(actions)
        self.limiter = SampleToInsertLimiter(pace.sample_to_insert, pace.window, least, state.feed.limiter)
        self.feed = Feed(
            reader, self.replays, actions, self.limiter, state.feed, run_id=run_id, least=training.min_replay
        )
        self._threaded = threaded
        self._losses = defaultdict[str, list[float]](list)
        self._train_seconds = state.train_seconds
        self._version = state.version
        self._version_updates = state.version_updates
        self._checkpoint_updates = state.updates
        self._refusals, self._copies_refused = Refusals(), Refusals()
        self._publish_at = math.inf
        # What was due when it ended, and was not published for an outage, is owed still.
        self._versions_planned = self._version_due = state.versions_due
        self._time, self._all_may_update = 0.0, False
        self._checkpointed_at = self._meet()
        if threaded:
            self.feed.start()

    @property
    def checkpoints(self) -> CheckpointStore:
        """Where the checkpoints are; of several ranks the first one alone has them."""
        assert self._store is not None, "only the first rank is asked"
        return self._store

    def _restore(self) -> TrainerState:
        found = self.checkpoints.load_latest() if self._first else None
        if self._ranks is not None:
            found = begin_alike(self._ranks, self.updater, found)
        if found is None:
            return TrainerState()
        tensors, raw = found
        load_updater_tensors(self.updater, tensors)
        state = TrainerState.from_json(raw)
        self.updater.updates = state.updates
        self.updater.nonfinite_updates = state.nonfinite_updates
        if state.updates:
            log.info("resumed from the checkpoint of update %d; the replay refills from the buffer", state.updates)
        return state

    @property
    @abstractmethod
    def spent(self) -> float:
        """Share of the run's own budget, of updates or of steps, that is spent."""

    @abstractmethod
    def _versions_due(self) -> int:
        """Return how many versions the training so far is worth, whether they were published or not."""

    @abstractmethod
    def _card(self) -> ModelCard:
        """Return the card of the network as it stands."""

    def _take_arrivals(self) -> None:  # noqa: B027 - a Q-learner needs nothing but chunks
        """Take what updates need beside chunks, if something new has arrived; called before every update."""

    def _publish_more(self) -> None:  # noqa: B027 - a student has nothing to do here
        """Publish what else is due or still owed; called all the time, also while there is no data for updates."""

    def _is_ready(self) -> bool:
        """Return whether everything but data is there for updates."""
        return True

    def _lag(self) -> dict[str, float]:
        """Return per game how many versions the data of the newest minibatch was behind."""
        return {}

    @property
    def fraction(self) -> float:
        """Share of the run's budget that is spent: of its own kind or of its minutes, whichever is more."""
        spent = self.spent
        if self._training.minutes is not None:
            spent = max(spent, self._train_seconds / (60.0 * self._training.minutes))
        return min(1.0, spent)

    def advance(self, seconds: float, updates: int | None = None) -> LearnerStatus:
        """Train for about `seconds`, or that many updates; less if the budget or, without a feed thread, the data ends.

        Raises:
            RunError: if the updates are not finite, or the feed has failed.
            ReplacedError: if a later incarnation of this learner is at work.
        """
        self._require_feed()
        began = last = self._meet()
        updates_before = self.updater.updates
        self._losses.clear()
        until = math.inf if updates is None else updates_before + updates
        while self.fraction < 1.0 and last - began < seconds and self.updater.updates < until:
            self._take_arrivals()
            # Where nothing holds them together, neither side waits for the other: every update finds more data.
            if not self._threaded and (self.limiter.unlimited or not self._may_update()):
                self.feed.poll_patiently()
            if self._may_update():
                self._count(self.updater.update(self.fraction))
                self.limiter.sampled(self._batch_size)
                self._plan_version()
            else:
                self._forfeit_if_never_ready()
                if not self._threaded:
                    self._publish_more()
                    break
                self._wait()
            self._publish_more()
            now = self._meet()
            if now >= self._publish_at:
                self._try_to_publish()
            self._train_seconds += now - last
            last = now
            if now - self._checkpointed_at >= self._training.checkpoint_seconds:
                self.checkpoint()
        self._count(self.updater.finish())
        if self.fraction >= 1.0:
            self.limiter.release()
        mean_loss = {game: fmean(losses) for game, losses in self._losses.items()}
        rate = (self.updater.updates - updates_before) / max(1e-9, last - began)
        return self._status(mean_loss, rate)

    def _count(self, updates: Iterable[Update]) -> None:
        for update in updates:
            if update.finite:
                self._losses[update.game].append(update.loss)

    def _meet(self) -> float:
        """Return the time; several ranks meet here before every update, and agree on it and on who has data for one."""
        if self._ranks is None:
            return time.monotonic()
        self._time, self._all_may_update = self._ranks.agree(time.monotonic(), self._has_data())
        return self._time

    def _now(self) -> float:
        """Return the time; of several ranks that of their last meeting."""
        return time.monotonic() if self._ranks is None else self._time

    def _plan_version(self) -> None:
        due = self._versions_due()
        if due > self._versions_planned:
            self._versions_planned = due
            self._publish_at = 0.0

    def _try_to_publish(self) -> None:
        self._publish_at = math.inf
        try:
            self.publish()
        except BufferUnavailable as error:
            log.warning("%s of update %d is not published yet: %s", self._lineage, self.updater.updates, error)
            self._publish_at = self._now() + PUBLISH_RETRY_SECONDS

    def _may_update(self) -> bool:
        return self._has_data() if self._ranks is None else self._all_may_update

    def _has_data(self) -> bool:
        filled = all(len(replay) >= self._training.min_replay for replay in self.replays.values())
        return self._is_ready() and filled and self.limiter.may_sample(self._batch_size)

    def _forfeit_if_never_ready(self) -> None:
        # Nobody knows when the first update can be made. One that was started again soon can, and makes up for it.
        if self.updater.updates == 0 and not self._is_ready():
            self.limiter.forfeit()

    def _require_feed(self) -> None:
        failure = self.feed.failure
        if isinstance(failure, DistillError):
            raise failure
        if failure is not None:
            raise RunError(f"the feed of {self._lineage} failed: {failure!r}") from failure

    def _wait(self) -> None:
        self._require_feed()
        time.sleep(WAIT_SECONDS)
        self.limiter.waited("sample", WAIT_SECONDS)

    def publish(self) -> int:
        """Publish the network as a new version, with a checkpoint of the same weights; return the version."""
        self._version = self._put(self._card())
        self._version_updates, self._version_due = self.updater.updates, self._versions_due()
        self.checkpoint(self._version)
        return self._version

    def _put(self, card: ModelCard) -> int:
        """Hand the network to the registry and return its version. Raises BufferUnavailable, in all ranks alike."""
        version, refusal = 0, BufferUnavailable(f"{self._lineage}: the first rank has not published it")
        if self._first:
            try:
                version = self._registry.publish(model_bytes(self.updater.judged, card, self.stored_as), card.training)
                self._copies_refused.written()
            except BufferUnavailable as error:
                self._notice_refused_copy(error)
                refusal = error
        if self._ranks is not None:
            version = int(self._ranks.told(str(version).encode()))
        if not version:
            raise refusal
        return version

    def _notice_refused_copy(self, error: BufferUnavailable) -> None:
        """Count it if the registry refuses a version because the disk of the run's folder takes no more."""
        if not isinstance(error.__cause__, RunError):
            return
        self._copies_refused.refused(str(error))
        if self._copies_refused.seconds > REFUSED_SECONDS:
            raise RunError(f"{error}; it has been so for {REFUSED_SECONDS / 60.0:g} minutes") from error

    def publish_final(self) -> int:
        """Publish the network as it stands unless its newest version already is that; return the version.

        It is 0 if the registry is out of reach: then it has to be tried again.
        """
        if self._version > 0 and self._version_updates == self.updater.updates:
            return self._version
        try:
            return self.publish()
        except BufferUnavailable as error:
            log.warning("the last version of %s is not published yet: %s", self._lineage, error)
            return 0

    def checkpoint(self, version: int | None = None) -> None:
        """Write a checkpoint; one that the disk refuses is counted and tried again at the next interval.

        Args:
            version: the one published from the same weights, if any.

        Raises:
            ReplacedError: if a newer learner has taken over.
            RunError: if the disk has refused every one for `REFUSED_SECONDS`, or there is none to go back to.
        """
        self._count(self.updater.finish())
        others, counted = self._counted()
        self._checkpointed_at = self._now()
        if not self._first:
            return
        state = TrainerState(
            self.updater.updates,
            self.updater.nonfinite_updates,
            self._train_seconds,
            self._version,
            self._version_updates,
            self._version_due,
            counted,
        )
        try:
            self.checkpoints.save(self.updater.updates, updater_tensors(self.updater) | others, asdict(state), version)
        except OSError as error:
            self._on_refused(error)
        else:
            self._checkpoint_updates = self.updater.updates
            self._refusals.written()

    def _counted(self) -> tuple[dict[str, torch.Tensor], FeedState]:
        """Return what a checkpoint keeps of other ranks beside it, and what all have counted."""
        counted = self.feed.get_state()
        return ({}, counted) if self._ranks is None else bring_together(self._ranks, self.updater, counted)

    def _on_refused(self, error: OSError) -> None:
        self._refusals.refused(machine_error(error))
        what = f"checkpoint of {self._lineage} at update {self.updater.updates:,}: cannot be written"
        if not self.checkpoints.entries:
            raise RunError(f"{what}, and there is none before it: {self._refusals.newest}") from error
        if self._refusals.seconds > REFUSED_SECONDS:
            since = f"for {REFUSED_SECONDS / 60.0:g} minutes, as {self._refusals.count} tries were"
            raise RunError(f"{what} {since}: {self._refusals.newest}") from error
        log.warning("%s yet, and is tried again: %s", what, self._refusals.newest)

    def record_score(self, version: int, score: float) -> None:
        """Note a version's score, so that the checkpoint of the best one is kept."""
        try:
            self.checkpoints.record_score(version, score)
        except OSError as error:
            # The score is kept in memory, and the next manifest has it.
            self._refusals.refused(machine_error(error))

    def close(self) -> LearnerStatus:
        """Write a last checkpoint, stop the feed, and return the status, which tells whether the disk has refused it.

        Raises:
            ReplacedError: if a newer learner has taken over.
        """
        try:
            # That the disk has refused it for too long, the status says as well.
            with contextlib.suppress(RunError):
                self.checkpoint()
        finally:
            self.feed.close()
        return self._status({}, 0.0)

    def _status(self, loss: dict[str, float], updates_per_second: float) -> LearnerStatus:
        fraction, limiter = self.fraction, self.limiter.get_state()
        return LearnerStatus(
            lineage=self._lineage,
            updates=self.updater.updates,
            samples=limiter.sampled,
            nonfinite_updates=self.updater.nonfinite_updates,
            train_seconds=self._train_seconds,
            fraction=fraction,
            done=fraction >= 1.0,
            loss=loss,
            updates_per_second=updates_per_second,
            replay={game: len(replay) for game, replay in self.replays.items()},
            inserted=dict(self.feed.inserted),
            rejected=dict(self.feed.rejected),
            last_rejection=self.feed.last_rejection,
            outages=self.feed.outages,
            ratio=self.limiter.realised_ratio,
            sample_wait_seconds=limiter.sample_wait_seconds,
            insert_wait_seconds=limiter.insert_wait_seconds,
            version=self._version,
            version_updates=self._version_updates,
            checkpoint_updates=self._checkpoint_updates,
            refused={
                "checkpoint": (self._refusals.count, self._refusals.newest),
                "model": (self._copies_refused.count, self._copies_refused.newest),
            },
            lag=self._lag(),
            histograms={
                kind: {game: histogram.totals for game, histogram in by_game.items()}
                for kind, by_game in self.updater.histograms.items()
            },
        )

    def _metadata(self) -> dict[str, Any]:
        """Return what every version's metadata says of its training."""
        _, counted = self._counted()
        return {
            "updates": self.updater.updates,
            "samples": counted.limiter.sampled,
            "transitions": counted.inserted,
            "seconds": round(self._train_seconds, 1),
        }
