"""How a run's Ray actors end: those that collect push what they hold, learners write their checkpoint, all are gone."""

from typing import Any

from cluster.state.session import Session
from cluster.workers.supervisor import Supervisor, finish, kill

STOP_SECONDS = 5.0
CLOSE_SECONDS = 60.0


def stop_collecting(supervisor: Supervisor, role: str, session: Session, *, done: bool) -> None:
    """Let the actors of a role flush and end them.

    Args:
        supervisor: of the actors.
        role: whose actors have a method `finish(timeout)`.
        session: told how many chunks were left behind.
        done: whether the run needs no more play; then what a full buffer kept waiting is dropped without a try.
    """
    handles = _drained(supervisor, role)
    patience = 0.0 if done else STOP_SECONDS
    left = finish([handle.finish.remote(patience) for handle in handles], 2 * STOP_SECONDS, f"{role}s")
    if any(left) and not done:
        session.note(f"{sum(left)} chunks were not pushed: the buffer was full or away until the end")
    _end(handles)


def stop_learners(supervisor: Supervisor, session: Session, *, done: bool) -> str:
    """Let the learners publish, if the run is done, write their checkpoints and end; return what is not saved."""
    learners = _drained(supervisor, "learner")
    unsaved: list[str] = []
    if done:
        finish([learner.publish_final.remote() for learner in learners], CLOSE_SECONDS, "learners", unsaved)
    failed: list[str] = []
    answers = finish([learner.close.remote() for learner in learners], CLOSE_SECONDS, "learners", failed)
    _end(learners)
    unsaved += [*failed, *map(session.on_closed, answers)]
    if left := len(learners) - len(answers) - len(failed):
        unsaved.append(f"{left} of {len(learners)} learners ended before they had written their last checkpoint")
    return "; ".join(filter(None, unsaved))


def stop_at_once(supervisor: Supervisor, role: str) -> None:
    """End the actors of a role that hold nothing."""
    _end(_drained(supervisor, role))


def _drained(supervisor: Supervisor, role: str) -> list[Any]:
    """Let a role's calls in flight end, make no more, and return its actors."""
    handles = supervisor.handles(role)
    supervisor.drain(role, STOP_SECONDS)
    return handles


def _end(handles: list[Any]) -> None:
    for handle in handles:
        kill(handle)
