"""Two copies of what was decided, of which either may lack something: together they know all, in the right order."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.models.decisions import Decisions, Promotion


def decisions(versions: list[int], times: list[float] | None = None) -> Decisions:
    times = times or [float(version) for version in versions]
    return Decisions(
        tuple(Promotion(v, None, ("best",), {}, at, "better") for v, at in zip(versions, times, strict=True)),
        {version: {"verdict": "promoted", "why": "better"} for version in versions},
        {f"{version}/pong/look/0": [float(version)] for version in versions},
    )


made = st.lists(st.integers(1, 12), unique=True, max_size=8)


@given(made, made)
def test_nothing_that_one_of_them_has_is_lost_and_nothing_comes_twice(mine: list[int], others: list[int]):
    both = decisions(mine).merged(decisions(others))
    assert sorted(promotion.version for promotion in both.promotions) == sorted({*mine, *others})
    assert both.verdicts.keys() == {*mine, *others}
    assert both.scores.keys() == {f"{version}/pong/look/0" for version in (*mine, *others)}
    assert both.merged(both) == both.merged(decisions(others)) == both
    assert Decisions.from_json(both.to_json()) == both


@given(made, st.integers(0, 8))
def test_what_only_lacks_the_newest_gets_them_in_the_order_of_who_has_them(versions: list[int], known: int):
    """Clocks of two machines may differ: a roll-back made after a promotion may have an earlier time."""
    whole = decisions(versions, [float(-at) for at in range(len(versions))])
    part = Decisions(whole.promotions[:known])
    assert part.merged(whole).promotions == whole.merged(part).promotions == whole.promotions


def test_what_was_decided_apart_is_put_in_order_by_time():
    mine, others = decisions([1, 2, 9]), decisions([1, 4])
    assert [promotion.version for promotion in mine.merged(others).promotions] == [1, 2, 4, 9]
    assert mine.merged(others).names == {"best": 9}
