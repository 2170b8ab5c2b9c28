"""Amdahl's law and the universal scalability law: what was put in is found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.scale.laws import Law, Throughputs, fit

COUNTS = (1, 2, 4, 8, 16, 64)
rates = st.floats(1.0, 1e6)
shares = st.one_of(st.just(0.0), st.floats(1e-4, 0.9))
crosstalks = st.one_of(st.just(0.0), st.floats(1e-6, 0.05))


def curve_of(law: Law, repeats: int = 1, noise: float = 0.0) -> Throughputs:
    random = np.random.default_rng(0)
    return {n: [law.at(n) * (1.0 + noise * random.normal()) for _ in range(repeats)] for n in COUNTS}


@settings(deadline=None)
@given(rates, shares, crosstalks)
def test_the_law_that_made_a_curve_is_found_again(rate: float, serial: float, crosstalk: float):
    law = Law(rate, serial, crosstalk)
    fitted = fit(curve_of(law), "usl")
    assert fitted is not None
    assert fitted.law.rate == pytest.approx(rate, rel=1e-6)
    assert fitted.law.serial == pytest.approx(serial, abs=1e-6)
    assert fitted.law.crosstalk == pytest.approx(crosstalk, abs=1e-6)
    assert fitted.error == pytest.approx(0.0, abs=1e-6)


@settings(deadline=None)
@given(rates, shares)
def test_so_is_amdahls_which_has_no_crosstalk(rate: float, serial: float):
    fitted = fit(curve_of(Law(rate, serial, 0.0)), "amdahl")
    assert fitted is not None
    assert fitted.law.serial == pytest.approx(serial, abs=1e-6)
    assert fitted.law.crosstalk == 0.0


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 2000), st.lists(st.floats(1.0, 1e6), min_size=1, max_size=3), max_size=6))
def test_whatever_was_measured_no_parameter_is_negative(measured: dict[int, list[float]]):
    for kind, parameters in (("amdahl", 2), ("usl", 3)):
        fitted = fit(measured, kind)
        assert (fitted is None) == (len(measured) < parameters)
        if fitted is not None:
            assert fitted.law.rate > 0.0
            assert fitted.law.serial >= 0.0
            assert fitted.law.crosstalk >= 0.0


def test_the_interval_over_repeats_holds_what_was_put_in():
    fitted = fit(curve_of(Law(100.0, 0.05, 0.001), repeats=8, noise=0.01), "usl")
    assert fitted is not None
    assert fitted.serial is not None
    assert fitted.crosstalk is not None
    assert fitted.serial[0] <= 0.05 <= fitted.serial[1]
    assert fitted.crosstalk[0] <= 0.001 <= fitted.crosstalk[1]
    assert 0.0 < fitted.error < 0.02


def test_a_single_repeat_has_no_interval():
    fitted = fit(curve_of(Law(100.0, 0.05, 0.0)), "amdahl")
    assert fitted is not None
    assert fitted.serial is None


@pytest.mark.parametrize(
    "law, most",
    [(Law(10.0, 0.0, 0.0), None), (Law(10.0, 0.1, 0.0), 100.0), (Law(10.0, 0.0, 0.01), Law(10.0, 0.0, 0.01).at(10.0))],
)
def test_the_most_that_a_law_allows(law: Law, most: float | None):
    assert law.most == (None if most is None else pytest.approx(most))


def test_what_was_measured_as_nothing_is_left_out():
    assert fit({1: [0.0], 2: [10.0]}, "amdahl") is None
