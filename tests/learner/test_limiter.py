"""The limiter keeps the ratio inside its window and never stops both sides."""

from hypothesis import given
from hypothesis import strategies as st

from learner.limiter import LimiterState, SampleToInsertLimiter


@given(
    ratio=st.floats(0.1, 64.0),
    batch=st.integers(1, 256),
    chunk=st.integers(1, 256),
    minimum=st.integers(1, 5_000),
    slack=st.floats(1.0, 10.0),
    greedy=st.lists(st.booleans(), min_size=300, max_size=300),
)
def test_one_side_may_always_go_on_and_the_ratio_holds(
    ratio: float, batch: int, chunk: int, minimum: int, slack: float, greedy: list[bool]
) -> None:
    window = slack * 2 * max(batch, ratio * chunk)
    limiter = SampleToInsertLimiter(ratio, window, minimum)
    for prefer_sampling in greedy:
        may_sample = limiter.get_state().inserted >= minimum and limiter.may_sample(batch)
        may_insert = limiter.may_insert()
        assert may_sample or may_insert, "both sides wait for ever"
        if may_sample and (prefer_sampling or not may_insert):
            limiter.sampled(batch)
        else:
            limiter.inserted(chunk)
        state = limiter.get_state()
        surplus = state.inserted * ratio - state.sampled
        rounding = 1e-9 * max(1.0, state.sampled)
        assert -rounding <= surplus <= window + ratio * (minimum + chunk) + rounding


def test_no_ratio_means_no_limit() -> None:
    limiter = SampleToInsertLimiter(None, 1.0, 10)
    limiter.sampled(10**9)
    assert limiter.may_sample(10**6)
    assert limiter.may_insert()


def test_state_round_trip() -> None:
    state = LimiterState(inserted=10, sampled=35, insert_wait_seconds=1.5, sample_wait_seconds=2.5)
    limiter = SampleToInsertLimiter(4.0, 1000.0, 1, state)
    assert limiter.get_state() == state
    assert limiter.realised_ratio == 3.5
    assert limiter.may_sample(5)
    assert not limiter.may_sample(6)


def test_each_side_waits_by_itself() -> None:
    limiter = SampleToInsertLimiter(4.0, 100.0, 0, LimiterState(insert_wait_seconds=1.0, sample_wait_seconds=2.0))
    limiter.waited("insert", 0.5)
    limiter.waited("sample", 0.25)
    limiter.waited("sample", 0.25)
    state = limiter.get_state()
    assert (state.insert_wait_seconds, state.sample_wait_seconds) == (1.5, 2.5)


def test_what_is_forfeited_is_neither_sampled_later_nor_holds_up_inserting():
    limiter = SampleToInsertLimiter(4.0, 100.0, 0)
    limiter.inserted(1_000)
    assert not limiter.may_insert()
    limiter.forfeit()
    assert limiter.may_insert()
    assert not limiter.may_sample(1)
    limiter.inserted(10)
    assert limiter.may_sample(40)
    assert not limiter.may_sample(41)
    again = SampleToInsertLimiter(4.0, 100.0, 0, limiter.get_state())
    assert again.may_sample(40)
    assert not again.may_sample(41)


def test_a_learner_that_has_ended_holds_up_nobody():
    limiter = SampleToInsertLimiter(4.0, 100.0, 0)
    limiter.inserted(1_000)
    limiter.release()
    assert limiter.may_insert()
