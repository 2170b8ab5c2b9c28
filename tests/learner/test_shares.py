"""Counts of several ranks are shared out and summed up without losing or doubling any."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learner.feed import FeedState
from learner.limiter import LimiterState
from learner.shares import as_one, joined, share_of
from learner.status import LearnerStatus

BUSY_MACHINE = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
COUNTS = st.integers(0, 10**12)
NAMES = st.text("abc", min_size=1, max_size=2)
STATES = st.builds(
    FeedState,
    consumed=st.dictionaries(NAMES, COUNTS),
    inserted=st.dictionaries(NAMES, COUNTS),
    limiter=st.builds(
        LimiterState,
        inserted=COUNTS,
        sampled=COUNTS,
        insert_wait_seconds=st.integers(0, 2**20).map(float),
        sample_wait_seconds=st.integers(0, 2**20).map(float),
        forfeited=st.integers(0, 2**20).map(float),
    ),
)


@BUSY_MACHINE
@given(STATES, st.sampled_from([1, 2, 4, 8, 64]))
def test_shares_sum_up_to_the_whole(state: FeedState, size: int):
    shares = [share_of(state, rank, size) for rank in range(size)]
    assert joined(shares) == state
    sampled = [share.limiter.sampled for share in shares]
    assert max(sampled) - min(sampled) <= 1, "they are even"


@BUSY_MACHINE
@given(STATES, st.integers(1, 5), st.dictionaries(NAMES, COUNTS))
def test_what_one_rank_has_read_since_is_kept_whoever_reads_it_next(state: FeedState, size: int, read: dict[str, int]):
    shares = [share_of(state, rank, size) for rank in range(size)]
    further = {producer: state.consumed.get(producer, -1) + 1 + more for producer, more in read.items()}
    shares[-1] = FeedState(shares[-1].consumed | further, shares[-1].inserted, shares[-1].limiter)
    whole = joined(shares)
    assert whole.consumed == state.consumed | further
    assert share_of(whole, 0, 3).consumed == whole.consumed


def test_the_status_of_all_counts_every_ranks_data_once_and_common_work_once():
    ranks = [
        LearnerStatus(
            updates=10, samples=80, loss={"pong": 0.5}, updates_per_second=3.0, replay={"pong": 7}, outages=1,
            inserted={"pong": inserted}, rejected={"damaged": 1}, last_rejection=f"of {inserted}",
            sample_wait_seconds=2.0, insert_wait_seconds=float(inserted), version=3, checkpoint_updates=9,
        )
        for inserted in (30, 10)
    ]  # fmt: skip
    whole = as_one(ranks)
    assert (whole.updates, whole.samples, whole.updates_per_second, whole.version) == (10, 160, 3.0, 3)
    assert (whole.loss, whole.replay, whole.inserted) == ({"pong": 0.5}, {"pong": 14}, {"pong": 40})
    assert (whole.rejected, whole.last_rejection, whole.outages) == ({"damaged": 2}, "of 30; of 10", 2)
    assert (whole.ratio, whole.sample_wait_seconds, whole.insert_wait_seconds) == (4.0, 2.0, 20.0)
    assert as_one(ranks[:1]) == LearnerStatus(**{**vars(ranks[0]), "ratio": 80 / 30})
