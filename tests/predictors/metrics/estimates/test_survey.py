"""Totals of finite populations: textbook formulas, every sample of a small population, and what must not matter."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.errors import InsufficientReplicatesError, InvalidInputError
from foretell.predictors.metrics.estimates.survey import (
    draw_systematic,
    estimate_total,
    expected_half_width,
    inclusion_probabilities,
    log_ratio,
    planned_draws,
    sampling_sizes,
    spread_of,
)

Y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])


class Start:
    """A generator of one chosen start and no ties, so that every systematic sample can be listed."""

    def __init__(self, start: float) -> None:
        self.start = start

    def uniform(self, low: float, high: float) -> float:
        return self.start

    def random(self, size: int) -> np.ndarray:
        return np.zeros(size)


# -- closed forms --------------------------------------------------------------------------------------
def test_simple_sampling_gives_the_textbook_total_and_error() -> None:
    n, size = 4, len(Y)
    made = estimate_total(Y[:n], np.full(n, n / size), size)
    assert made.total == pytest.approx(size * Y[:n].mean())
    assert made.standard_error == pytest.approx(size * np.sqrt((1 - n / size) / n * Y[:n].var(ddof=1)))
    assert (made.degrees, made.slope) == (n - 1, 0.0)


def test_a_whole_population_leaves_no_error() -> None:
    made = estimate_total(Y, np.ones(len(Y)), len(Y))
    assert (made.total, made.standard_error, made.interval()) == (Y.sum(), 0.0, (Y.sum(), Y.sum()))


def test_a_forecast_that_is_right_up_to_its_level_leaves_no_error() -> None:
    rng = np.random.default_rng(0)
    m = rng.lognormal(size=200)
    p = inclusion_probabilities(sampling_sizes(m), 12)
    at = draw_systematic(p, m, rng)
    made = estimate_total(30 * m[at], p[at], 200, forecast=m[at], forecast_total=m.sum())
    assert made.total == pytest.approx(30 * m.sum())
    assert made.slope == pytest.approx(30)
    assert made.standard_error < 1e-6 * made.total


def test_a_forecast_that_misleads_gets_no_slope() -> None:
    rng = np.random.default_rng(1)
    y, m = rng.lognormal(size=20), np.linspace(3, 1, 20)
    order = np.argsort(y)
    plain = estimate_total(y[order], np.full(20, 0.1), 200)
    made = estimate_total(y[order], np.full(20, 0.1), 200, forecast=m, forecast_total=400.0)
    assert (made.slope, made.total) == (0.0, plain.total)


# -- every sample --------------------------------------------------------------------------------------
def test_over_all_simple_samples_total_and_variance_are_unbiased() -> None:
    n, size = 3, len(Y)
    made = [estimate_total(Y[list(at)], np.full(n, n / size), size) for at in combinations(range(size), n)]
    totals = np.array([e.total for e in made])
    assert totals.mean() == pytest.approx(Y.sum())
    assert np.mean([e.standard_error**2 for e in made]) == pytest.approx(totals.var())


def test_over_all_starts_every_unit_is_drawn_as_often_as_its_probability_says() -> None:
    sizes = np.array([1.0, 2.0, 3.0, 1.0, 5.0, 20.0, 2.0])
    p = inclusion_probabilities(sizes, 3)
    starts = (np.arange(4000) + 0.5) / 4000
    drawn = np.zeros(len(sizes))
    for start in starts:
        at = draw_systematic(p, sizes, Start(start))  # type: ignore[arg-type]
        assert len(at) == 3
        drawn[at] += 1
    assert drawn / len(starts) == pytest.approx(p, abs=1e-3)  # one start in 4,000 at each edge
    assert p[5] == 1.0


def test_the_expansion_of_proportional_draws_is_unbiased_over_all_starts() -> None:
    sizes = np.array([1.0, 2.0, 3.0, 1.0, 5.0, 2.0, 2.0])
    p = inclusion_probabilities(sizes, 3)
    starts = (np.arange(4000) + 0.5) / 4000
    totals = [np.sum(Y[at] / p[at]) for at in (draw_systematic(p, sizes, Start(s)) for s in starts)]  # type: ignore[arg-type]
    assert np.mean(totals) == pytest.approx(Y.sum(), rel=1e-3)


# -- properties ----------------------------------------------------------------------------------------
values = st.lists(st.floats(0.01, 1e4), min_size=6, max_size=25)


@given(y=values, scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_units_and_the_level_of_the_forecast_do_not_matter(y: list[float], scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(y)
    m, p = rng.lognormal(size=n), rng.uniform(0.05, 0.9, n)
    one = estimate_total(y, p, 100, forecast=m, forecast_total=150.0)
    other = estimate_total(np.array(y) * scale, p, 100, forecast=m * 7, forecast_total=1050.0)
    assert other.total == pytest.approx(one.total * scale, rel=1e-6)
    assert other.standard_error == pytest.approx(one.standard_error * scale, rel=1e-4, abs=1e-9 * one.total * scale)
    order = rng.permutation(n)
    mixed = estimate_total(np.array(y)[order], p[order], 100, forecast=m[order], forecast_total=150.0)
    assert mixed.total == pytest.approx(one.total, rel=1e-9)


@given(sizes=st.lists(st.floats(0.01, 100), min_size=3, max_size=40), data=st.data())
@settings(max_examples=60, deadline=None)
def test_probabilities_sum_to_the_draws_and_follow_the_sizes(sizes: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(sizes)))
    p = inclusion_probabilities(sizes, n)
    assert p.sum() == pytest.approx(n)
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p[np.argsort(sizes)]) >= -1e-12).all()
    assert len(draw_systematic(p, sizes, np.random.default_rng(0))) == n


@given(y=values, level=st.floats(0.02, 0.98))
@settings(max_examples=60, deadline=None)
def test_probabilities_of_a_limit_are_the_quantiles_turned_round(y: list[float], level: float) -> None:
    made = estimate_total(y, np.full(len(y), 0.1), 10 * len(y))
    limit = made.quantile(level)
    if made.standard_error > 1e-9 * made.total and abs(np.log(limit / made.total)) > 1e-6:
        assert made.probability_above(limit) == pytest.approx(1 - level, abs=1e-6)
    assert 0 <= made.quantile(0.05) <= made.total <= made.quantile(0.95)


@given(y=values)
@settings(max_examples=30, deadline=None)
def test_wider_coverage_is_a_wider_interval(y: list[float]) -> None:
    made = estimate_total(y, np.full(len(y), 0.1), 10 * len(y))
    inner, outer = made.interval(0.5), made.interval(0.9)
    assert outer[0] <= inner[0] <= inner[1] <= outer[1]


def test_intervals_hold_a_skewed_total_about_as_often_as_they_say() -> None:
    """Lognormal of sd 1, a forecast that knows half of it: plain t covers .82 here (300 draws, standard error .02)."""
    rng = np.random.default_rng(0)
    known, size, inside = rng.normal(size=600), 600, 0
    y, m = np.exp(0.7 * known + 0.7 * rng.normal(size=size)), np.exp(0.7 * known)
    p = inclusion_probabilities(sampling_sizes(m), 20)
    for _ in range(300):
        at = draw_systematic(p, m, rng)
        lower, upper = estimate_total(y[at], p[at], size, forecast=m[at], forecast_total=m.sum()).interval()
        inside += lower <= y.sum() <= upper
    assert 0.84 <= inside / 300 <= 0.99


# -- ratios and planning -------------------------------------------------------------------------------
def test_a_total_against_its_double_is_decided_and_against_itself_is_not() -> None:
    y, p = np.r_[Y, Y + 1], np.full(14, 0.1)
    one, double = estimate_total(y, p, 140), estimate_total(2 * y, p, 140)
    assert log_ratio(one, one).probability_first_less == 0.5
    assert log_ratio(one, double).value == pytest.approx(-np.log(2))
    assert log_ratio(one, double).probability_first_less == 1.0  # paired: nothing is left to chance
    noisy = estimate_total(1.2 * y * np.resize([0.7, 1.3], 14), p, 140)
    ratio = log_ratio(one, noisy)
    lower, upper = ratio.interval()
    assert lower < np.exp(ratio.value) < upper
    assert ratio.draws_to_decide(14, 140) > 14


def test_planned_draws_are_the_fewest_that_suffice() -> None:
    n = planned_draws(0.6, 0.2, 1000)
    assert expected_half_width(0.6, n, 1000) <= 0.2 < expected_half_width(0.6, n - 1, 1000)
    assert planned_draws(0.6, 0.0, 50) == 50


def test_the_spread_of_a_pilot_plans_the_width_that_it_had() -> None:
    made = estimate_total(np.resize(Y, 20), np.full(20, 0.05), 400)
    lower, upper = made.interval()
    planned = expected_half_width(spread_of(made, 20, 400), 20, 400)
    assert planned == pytest.approx((upper - lower) / 2 / made.total, rel=0.35)  # it knows nothing of the skewness


# -- what cannot be answered ---------------------------------------------------------------------------
def test_two_draws_are_too_few_and_probabilities_are_checked() -> None:
    with pytest.raises(InsufficientReplicatesError, match="at least 3 draws"):
        estimate_total([1.0, 2.0], [0.1, 0.1], 20)
    with pytest.raises(InvalidInputError, match="probabilities"):
        estimate_total([1.0, 2.0, 3.0], [0.0, 0.1, 0.1], 20)
    with pytest.raises(InvalidInputError, match="`n` must be 1 to 2"):
        inclusion_probabilities([1.0, 1.0], 3)
