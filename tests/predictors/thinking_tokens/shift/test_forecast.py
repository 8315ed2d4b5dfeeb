"""Quantiles of mixtures, and spreads where less and less is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foretell.predictors.thinking_tokens.shift.cells import CELL, summarise_cells
from foretell.predictors.thinking_tokens.shift.forecast import CellForecasts, ShiftForecaster, spread_quantiles
from tests.predictors.thinking_tokens.shift.synthetic_cells import make_cells, make_source_runs, make_table

LEVELS = np.array([0.01, 0.05, 0.3, 0.5, 0.9, 0.99])


@pytest.fixture(scope="module")
def fitted() -> ShiftForecaster:
    runs = make_source_runs(seed=3)
    table = summarise_cells(runs[CELL], runs["log_tokens"].to_numpy(), runs["query_id"].to_numpy(object))
    return ShiftForecaster.fit(replace(table, cells=table.cells.assign(length=0.0)))


def _total_variance(forecast: CellForecasts) -> np.ndarray:
    return np.asarray(forecast.variance + forecast.within.mean(axis=1))


def test_quantiles_of_a_mixture_are_those_of_its_draws() -> None:
    rng = np.random.default_rng(0)
    variance = np.array([[0.2, 2.0], [1.0, 9.0]])
    drawn = np.sqrt(variance[:, rng.integers(0, 2, 400_000)]) * rng.normal(size=400_000)
    expected = np.quantile(drawn, LEVELS, axis=1).T
    np.testing.assert_allclose(spread_quantiles(variance, LEVELS), expected, atol=0.05)


def test_a_mixture_of_one_is_normal() -> None:
    found = spread_quantiles(np.array([[4.0]]), np.array([0.05, 0.5, 0.95]))[0]
    np.testing.assert_allclose(found, 2 * np.array([-1.64485, 0, 1.64485]), atol=2e-3)


def test_a_run_spreads_by_its_cell_and_about_it(fitted: ShiftForecaster) -> None:
    forecast = fitted.forecast(make_cells(("s0", "b0", "gpt-5", ""), ("new", "new", "new", "")))
    whole, about = np.sqrt(_total_variance(forecast)), np.sqrt(forecast.within.mean(axis=1))
    assert whole[0] == pytest.approx(about[0], rel=0.15)
    assert whole[1] > 1.5 * whole[0]


def test_anchors_narrow_the_spread_to_their_own(fitted: ShiftForecaster) -> None:
    cells = make_cells(("new", "new", "new", ""))
    anchors = make_table([("new", "new", "new", "")], [9.0], error=0.02)
    before, after = fitted.forecast(cells), fitted.joined(anchors).forecast(cells)
    assert after.mean[0] == pytest.approx(9.0, abs=0.1)
    assert _total_variance(after)[0] < 0.5 * _total_variance(before)[0]
    assert after.within.mean() == pytest.approx(0.4, rel=0.3)


def test_no_spread_is_beyond_what_any_cell_has_shown(fitted: ShiftForecaster) -> None:
    cells = make_cells(("new", "new", "new", ""))
    largest = fitted.effects.table.spread.max()
    assert fitted.forecast(cells).within.max() <= largest
    wild = make_table([("new", "new", "new", "")], [6.0])
    wild = replace(wild, rest_variance=np.array([9.0]), n_queries=np.array([50.0]))
    assert fitted.joined(wild).forecast(cells).within.max() > 5  # its own runs say so


def test_forecasters_are_restored_as_they_were(fitted: ShiftForecaster) -> None:
    cells = make_cells(("s0", "b9", "gpt-5", ""), ("new", "new", "new", ""))
    again = ShiftForecaster.from_state(*fitted.state())
    for one, other in zip(vars(again.forecast(cells)).values(), vars(fitted.forecast(cells)).values(), strict=True):
        np.testing.assert_array_equal(one, other)
