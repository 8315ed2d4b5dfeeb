"""Quantiles of mixtures, and spreads where less and less is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foretell.predictors.thinking_tokens.shift.cells import CELL, summarise_cells
from foretell.predictors.thinking_tokens.shift.forecast import ShiftForecaster, mixture_quantiles
from tests.predictors.thinking_tokens.shift.synthetic_cells import make_cells, make_source_runs, make_table

LEVELS = np.array([0.01, 0.05, 0.3, 0.5, 0.9, 0.99])


@pytest.fixture(scope="module")
def fitted() -> ShiftForecaster:
    runs = make_source_runs(seed=3)
    table = summarise_cells(runs[CELL], runs["log_tokens"].to_numpy(), runs["query_id"].to_numpy(object))
    return ShiftForecaster(n_draws=4).fit(replace(table, cells=table.cells.assign(length=0.0)))


def test_quantiles_of_a_mixture_are_those_of_its_draws() -> None:
    rng = np.random.default_rng(0)
    mean, weight = np.array([4.0, 6.0, 6.5]), np.array([0.2, 0.5, 0.3])
    variance = np.array([[0.2, 2.0], [0.5, 0.6], [1.0, 9.0]])
    component, spread = rng.choice(3, 400_000, p=weight), rng.integers(0, 2, 400_000)
    drawn = mean[component] + np.sqrt(variance[component, spread]) * rng.normal(size=400_000)
    np.testing.assert_allclose(mixture_quantiles(mean, variance, weight, LEVELS), np.quantile(drawn, LEVELS), atol=0.05)


def test_a_mixture_of_one_is_normal() -> None:
    found = mixture_quantiles(np.array([5.0]), np.array([[4.0]]), np.ones(1), np.array([0.05, 0.5, 0.95]))
    np.testing.assert_allclose(found, 5 + 2 * np.array([-1.64485, 0, 1.64485]), atol=2e-3)


def test_a_run_spreads_by_its_cell_and_about_it(fitted: ShiftForecaster) -> None:
    cells = make_cells(("s0", "b0", "gpt-5", ""), ("new", "new", "new", ""))
    forecast = fitted.forecast(cells)
    width = np.diff(forecast.quantiles(np.array([0.05, 0.95]))).ravel()
    about = np.diff(forecast.quantiles_about_mean(np.array([0.05, 0.95]))).ravel()
    assert width[0] == pytest.approx(about[0], rel=0.15)
    assert width[1] > 1.5 * width[0] >= 1.5 * about[0] * 0.99


def test_anchors_narrow_the_spread_to_their_own(fitted: ShiftForecaster) -> None:
    cells = make_cells(("new", "new", "new", ""))
    anchors = make_table([("new", "new", "new", "")], [9.0], error=0.02)
    before, after = fitted.forecast(cells), fitted.forecast(cells, anchors)
    assert after.posterior.average()[0] == pytest.approx(9.0, abs=0.1)
    assert after.total_variance()[0] < 0.5 * before.total_variance()[0]
    assert after.within.mean() == pytest.approx(0.4, rel=0.3)


def test_no_spread_is_beyond_what_any_cell_has_shown(fitted: ShiftForecaster) -> None:
    cells = make_cells(("new", "new", "new", ""))
    largest = fitted.effects_.table_.spread.max()
    assert fitted.forecast(cells).within.max() <= largest
    wild = make_table([("new", "new", "new", "")], [6.0])
    wild = replace(wild, rest_variance=np.array([9.0]), n_queries=np.array([50.0]))
    assert fitted.forecast(cells, wild).within.max() > 5  # its own runs say so


def test_forecasters_are_restored_as_they_were(fitted: ShiftForecaster) -> None:
    cells = make_cells(("s0", "b9", "gpt-5", ""), ("new", "new", "new", ""))
    again = ShiftForecaster.from_state(*fitted.state())
    np.testing.assert_array_equal(again.forecast(cells).quantiles(LEVELS), fitted.forecast(cells).quantiles(LEVELS))
