"""A small run under faults keeps all promises; `make chaos` runs many more of these."""

import pytest

from tests.chaos.schedule import run_schedule, schedule
from tests.chaos.step import KNOWN

pytestmark = pytest.mark.timeout(300)

SEED = 1


def test_no_promise_is_broken_by_known_faults_and_by_a_seeded_schedule():
    outcome = run_schedule(SEED, [*KNOWN.values(), *schedule(SEED, 3)])
    assert not outcome.violations, f"seed {SEED}, recovered within {outcome.recoveries} s: {outcome.violations}"
    assert outcome.books.acknowledged > 0
