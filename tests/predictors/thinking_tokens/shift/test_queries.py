"""What texts and known runs add to the forecast of a cell, against the normal model by hand."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.predictors.thinking_tokens.shift.forecast import N_WITHIN, CellForecasts, spread_quantiles
from foretell.predictors.thinking_tokens.shift.queries import (
    NOISE_SHARE,
    KnownRuns,
    QueryPrior,
    forecast_requests,
    query_effects,
)

COVARIANCE = np.array([[0.5, 0.2], [0.2, 0.3]])
CELLS = CellForecasts(np.array([6.0, 7.0]), COVARIANCE, np.tile([[0.8], [0.4]], N_WITHIN), np.array([0.5, 0.5]))
"""Two cells of means 6 and 7; a run is .8 and .4 about them, half of it the query's."""


def _prior(effect: float = 0.0, doubt: float = 0.0, explained: float = 0.0) -> QueryPrior:
    return QueryPrior(np.zeros(1, dtype=np.intp), *(np.array([value]) for value in (effect, doubt, explained)))


def _runs(cell: int, log_tokens: float) -> KnownRuns:
    return KnownRuns(np.zeros(1, dtype=np.intp), np.array([cell]), np.array([log_tokens]))


def test_without_text_and_runs_it_is_the_forecast_of_the_cell() -> None:
    forecast = forecast_requests(CELLS, _prior())
    levels = np.array([0.05, 0.5, 0.95])
    of_cell = 6.0 + spread_quantiles(CELLS.variance[:1, None] + CELLS.within[:1], levels)[0]
    np.testing.assert_allclose(forecast.quantiles(levels)[0], of_cell, rtol=1e-9)
    assert forecast.shared_variance[0] == pytest.approx(0.5)


def test_a_text_shifts_the_forecast_and_its_doubt_widens_it() -> None:
    plain = forecast_requests(CELLS, _prior(effect=0.7))
    assert plain.centre[0] == pytest.approx(6.7)
    doubtful = forecast_requests(CELLS, _prior(effect=0.7, doubt=0.3, explained=0.1))
    assert doubtful.variance[0] == pytest.approx(plain.variance[0] + 0.3 - 0.1)


def test_a_run_of_another_model_counts_by_cell_and_query() -> None:
    forecast = forecast_requests(CELLS, _prior(), _runs(1, 8.0))
    # The query's variance is .4 as it is for the cell asked; the run's own .4 * .5 is its model's and noise.
    variance_of_run, towards = 0.3 + 0.4 + 0.2, 0.2 + 0.4
    gain = towards / variance_of_run
    assert forecast.centre[0] == pytest.approx(6.0 + gain * 1.0)
    assert forecast.variance[0] == pytest.approx(0.5 + 0.8 - towards * gain)
    assert forecast.shared_variance[0] == pytest.approx(0.5 - 0.2**2 / variance_of_run)


def test_a_pilot_says_all_but_the_noise_of_a_run() -> None:
    forecast = forecast_requests(CELLS, _prior(), _runs(0, 8.0))
    noise = NOISE_SHARE * 0.8
    signal = 0.5 + 0.8 - noise
    assert forecast.centre[0] == pytest.approx(6.0 + signal / (signal + noise) * 2.0)
    assert forecast.variance[0] == pytest.approx(noise + signal * noise / (signal + noise))


def test_the_effect_of_a_query_is_shrunk_by_what_its_runs_leave_open() -> None:
    effect, explained = query_effects(CELLS, _prior(), _runs(1, 8.0))
    assert effect[0] == pytest.approx(0.4 / 0.9)
    assert explained[0] == pytest.approx(0.4 / 0.9)


def test_the_order_of_known_runs_does_not_matter() -> None:
    at = np.zeros(3, dtype=np.intp)
    cells, y = np.array([1, 0, 1]), np.array([8.0, 5.0, 7.5])
    one = forecast_requests(CELLS, _prior(), KnownRuns(at, cells, y))
    other = forecast_requests(CELLS, _prior(), KnownRuns(at, cells[[2, 0, 1]], y[[2, 0, 1]]))
    np.testing.assert_allclose(one.centre, other.centre)
    np.testing.assert_allclose(one.variance, other.variance)


def test_what_requests_share_is_part_of_the_whole() -> None:
    forecast = forecast_requests(CELLS, _prior(), _runs(1, 8.0))
    levels = np.array([0.05, 0.95])
    whole, about = (
        np.diff(q, axis=1)[0, 0] for q in (forecast.quantiles(levels), forecast.quantiles_about_shared(levels))
    )
    assert about**2 / whole**2 == pytest.approx(1 - forecast.shared_variance[0] / forecast.variance[0], rel=1e-2)
