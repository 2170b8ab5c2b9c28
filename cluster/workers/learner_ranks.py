"""A student's learner of several ranks, on Ray: the first rank starts the others, calls them, and answers for all.

So a supervisor sees one actor, and replaces the whole group with it: Ray ends an actor together with the one that has
started it, and the first rank fails as soon as another one is lost.

This is a plain process group, and not Ray Train's `TorchTrainer`, which would do no more than make it:

- Its controller is a second supervisor. Who starts a group here is the run, since every group needs a larger
  incarnation than the one before, or a rank that was only cut off could go on writing.
- Its training function answers no calls. A learner is asked for a slice of work, a last version, a checkpoint within
  the seconds that a SIGTERM leaves, and is told scores.
- `fit` has no time limit and takes SIGINT for its own; a rank that hangs is noticed after ten minutes by default.
- `import ray.train` fails without pandas and pyarrow, which nothing else here needs.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.ray.typed_ray import typed_ray
from cluster.workers.supervisor import GET_TIMEOUT_SECONDS
from distill.errors import DistillError, RunError
from distill.protocols import Services
from learner.device import choose_device
from learner.plans import StudentPlan
from learner.ranks import PATIENCE_SECONDS, MeetingPoint, Ranks, Seat
from learner.shares import as_one
from learner.status import LearnerStatus
from learner.student_trainer import StudentTrainer

log = logging.getLogger(__name__)

START_SECONDS = 90.0
"""For the other ranks' processes to start."""
LAST_WORDS_SECONDS = 5.0
"""For the answers of those who have lost a rank as well."""

T = TypeVar("T")


@dataclass
class _Heard:
    """What the other ranks have said to a call.

    Attributes:
        answers: of those who have answered, in the order of the ranks.
        lost: who has died, or said nothing.
        failed: who has raised what is no error of ours, as who is left alone does, and what that was.
    """

    answers: list[Any] = field(default_factory=list[Any])
    lost: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])


class FurtherRank:
    """A rank that does what the first one does, and is called by it alone."""

    def __init__(self) -> None:
        self._ranks: Ranks | None = None
        self._trainer: StudentTrainer | None = None

    def ready(self) -> bool:
        """Return, once this process has started."""
        return True

    def join(
        self, plan: StudentPlan, actions: Mapping[str, int], services: Services, directory: Path, seat: Seat
    ) -> None:
        """Meet the others, and begin where the first one does; see `StudentTrainer`."""
        self._ranks = Ranks(seat, choose_device(plan.training.device))
        self._trainer = self._or_leave(
            lambda: StudentTrainer(plan, actions, services, directory, threaded=True, ranks=self._ranks)
        )

    def advance(self, seconds: float) -> LearnerStatus:
        """Do as `Trainer.advance`."""
        return self._or_leave(lambda: self._joined.advance(seconds))

    def publish_final(self) -> int:
        """Do as `Trainer.publish_final`."""
        return self._or_leave(self._joined.publish_final)

    def close(self) -> LearnerStatus:
        """Do as `Trainer.close`."""
        return self._or_leave(self._joined.close)

    @property
    def _joined(self) -> StudentTrainer:
        assert self._trainer is not None, "it has joined"
        return self._trainer

    def _or_leave(self, work: Callable[[], T]) -> T:
        """Work, and let the others know at once if that fails."""
        try:
            return work()
        except BaseException:
            if self._ranks is not None:
                self._ranks.leave()
            raise


class FirstRank:
    """The first of several ranks, and what the run knows of them; its methods are those of a `Trainer`.

    Args:
        plan: what to train, and by how many ranks.
        actions: A of every game.
        services: where chunks come from and models go to.
        directory: the run's folder, which no other rank needs.
        options: what each of the others asks Ray for.
        host: address of this process that the others reach; None for that of its node.

    All methods raise ConnectionError if another rank is lost, and what it has raised if that is an error of ours.
    """

    def __init__(
        self,
        plan: StudentPlan,
        actions: Mapping[str, int],
        services: Services,
        directory: Path,
        *,
        options: Mapping[str, Any],
        host: str | None,
    ) -> None:
        further = ray.remote(FurtherRank)
        self._others: list[Any] = [further.options(**options).remote() for _ in range(1, plan.ranks)]
        heard = self._hear([other.ready.remote() for other in self._others], START_SECONDS)
        if heard.lost:
            raise ConnectionError("; ".join(heard.lost))
        point = MeetingPoint(host or typed_ray.util.get_node_ip_address(), plan.ranks)
        calls = [
            other.join.remote(plan, actions, services, directory, point.seat(rank))
            for rank, other in enumerate(self._others, 1)
        ]

        def begin() -> StudentTrainer:
            self._ranks = Ranks(point.seat(0), choose_device(plan.training.device), point)
            return StudentTrainer(plan, actions, services, directory, threaded=True, ranks=self._ranks)

        self._ranks: Ranks | None = None
        self._trainer, _ = self._together(begin, calls)

    def advance(self, seconds: float) -> LearnerStatus:
        """Do as `Trainer.advance`."""
        calls = [other.advance.remote(seconds) for other in self._others]
        own, others = self._together(lambda: self._trainer.advance(seconds), calls)
        return as_one([own, *others])

    def publish_final(self) -> int:
        """Do as `Trainer.publish_final`."""
        calls = [other.publish_final.remote() for other in self._others]
        version, _ = self._together(self._trainer.publish_final, calls)
        return version

    def record_score(self, version: int, score: float) -> None:
        """Do as `Trainer.record_score`."""
        self._trainer.record_score(version, score)

    def close(self) -> LearnerStatus:
        """Do as `Trainer.close`; without the others there is no checkpoint beside the last one."""
        if self._ranks is None:
            raise RunError("the ranks of the learner have lost each other, so it goes on from its last checkpoint")
        calls = [other.close.remote() for other in self._others]
        own, others = self._together(self._trainer.close, calls)
        return as_one([own, *others])

    def _together(self, work: Callable[[], T], calls: Sequence[Any]) -> tuple[T, list[Any]]:
        """Do this rank's part of what the others have been called for; return that and their answers.

        After any error no two ranks may be at the same point of their work: they never meet again.
        """
        try:
            own = work()
            heard = self._hear(calls, PATIENCE_SECONDS)
        except RuntimeError as error:
            # To torch, whoever is lost is a connection that broke or a time that ran out.
            self._leave()
            heard = self._hear(calls, LAST_WORDS_SECONDS)
            own_trouble = f"rank 0 has failed: {_first_line(error)}"
            raise ConnectionError("; ".join(heard.lost or [own_trouble, *heard.failed])) from error
        except BaseException:
            self._leave()
            raise
        if heard.lost or heard.failed:
            self._leave()
            raise ConnectionError("; ".join(heard.lost or heard.failed))
        return own, heard.answers

    def _leave(self) -> None:
        if self._ranks is not None:
            self._ranks.leave()
            self._ranks = None

    def _hear(self, calls: Sequence[Any], seconds: float) -> _Heard:
        """Return what the other ranks say within some seconds.

        Raises:
            DistillError: what one of them has raised.
        """
        ready, _ = typed_ray.wait(list(calls), num_returns=len(calls), timeout=seconds)
        heard = _Heard()
        for rank, call in enumerate(calls, 1):
            name = f"rank {rank} of {len(calls) + 1}"
            if call not in ready:
                heard.lost.append(f"{name} has not answered within {seconds:g} s")
                continue
            try:
                heard.answers.append(typed_ray.get(call, timeout=GET_TIMEOUT_SECONDS))
            except RayTaskError as error:
                cause: Any = error.cause
                if isinstance(cause, DistillError):
                    raise cause from error
                heard.failed.append(f"{name} has failed: {_first_line(cause)}")
            except RayError as error:
                log.warning("%s: %s", name, error)
                heard.lost.append(f"{name} has died")
        return heard


def _first_line(error: BaseException) -> str:
    """Return what an error says, without torch's own stack."""
    return str(error).partition("\n")[0]
