"""Small runs under faults: the known ones of `FAULTS`, and a seeded schedule; `make chaos` runs many more of these."""

import pytest

from tests.chaos.schedule import Outcome, Span, Step, run_schedule, schedule

pytestmark = pytest.mark.timeout(300)

KNOWN: dict[str, Step] = {
    # The learner has read all when it cannot say so, and producers wait for that.
    "4 refused commits": (Span("stop learner", 3.5), Span("refuse writes", 4.0, 3.3)),
    "5 two learners": (Span("replace learner", 1.0),),
    "6 another run of this name": (Span("let another run of this name push", 1.0),),
    "8 manifest removed": (Span("remove the manifest", 0.5),),
    "9 checkpoint damaged": (Span("flip bits of a checkpoint", 0.5),),
    "19 poisoned stream": (Span("poison the stream", 0.5),),
}


def assert_sound(outcome: Outcome) -> None:
    assert not outcome.violations, f"seed {outcome.seed}, {outcome.steps}: {outcome.violations}"
    assert outcome.books.acknowledged > 0


UNMENDED = ("4", "5", "8", "9", "19")


def _marked(name: str):
    unmended = name.partition(" ")[0] in UNMENDED
    return pytest.param(name, marks=pytest.mark.xfail(strict=True)) if unmended else name


@pytest.mark.parametrize("name", list(map(_marked, KNOWN)))
def test_a_known_fault_breaks_no_promise(name: str):
    assert_sound(run_schedule(1, [KNOWN[name]]))


def test_no_promise_is_broken_under_a_schedule():
    assert_sound(run_schedule(1, schedule(1, 3)))
