"""Every main feature of the score forecasts is there for something: what goes wrong without it."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from foretell.predictors.benchmark_scores.calibration import ResidualCurve, ResidualScale
from foretell.predictors.benchmark_scores.description.features import (
    benchmark_rows,
)
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.benchmark_scores.rows import Rows, group_weights
from foretell.predictors.benchmark_scores.two_way import TwoWay
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

SMALL = {"scale_rounds": 20}


class RecordsScales(BenchmarkScorePredictor):
    """Remembers how many rows each fit of the parts, and each scale of residuals, was learnt from."""

    def _new(self, rows: Rows) -> TwoWay:
        self.rows_ = [*getattr(self, "rows_", []), len(rows.benchmark)]
        return super()._new(rows)

    def _new_scale(
        self, columns: NDArray[np.float64], residuals: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> ResidualScale:
        self.sizes_ = [*getattr(self, "sizes_", []), len(residuals)]
        return super()._new_scale(columns, residuals, weight)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_scores(24, 8)


@pytest.fixture(scope="module")
def fitted(table: pd.DataFrame) -> RecordsScales:
    return RecordsScales(**SMALL).fit(table[INPUTS], table["value"], groups=table["leak_group"])  # type: ignore[arg-type]


def _width(predictor: BenchmarkScorePredictor, X: pd.DataFrame) -> float:
    interval = predictor.predict_interval(X)
    return float((interval["upper"] - interval["lower"]).mean())


def test_residuals_are_standardised_by_scales_that_have_not_seen_them(fitted: RecordsScales) -> None:
    *out_of_fold, whole = fitted.sizes_
    assert whole == 24 * 8
    assert sum(whole - n for n in out_of_fold) == whole  # each row is left out once
    assert len(out_of_fold) == fitted.n_folds


def test_residuals_are_of_fits_that_have_not_seen_their_rows(fitted: RecordsScales) -> None:
    whole, *rest = fitted.rows_
    out_of_fold = rest[: fitted.n_folds]  # what follows are the rounds of strangeness
    assert whole == 24 * 8
    assert sum(whole - n for n in out_of_fold) == whole


def test_a_collection_of_many_benchmarks_counts_by_the_root_of_its_size() -> None:
    groups = np.array([0, 0, 0, 0, 1])
    np.testing.assert_allclose(group_weights(groups), [0.5, 0.5, 0.5, 0.5, 1.0])
    table, codes = benchmark_rows(make_scores(5, 2), ["benchmark"])
    rows = Rows(table, groups, np.empty((2, 0)), codes, np.tile([0, 1], 5), np.empty((10, 0)))
    np.testing.assert_allclose(rows.weights(), [8**-0.5] * 8 + [2**-0.5] * 2)


def test_a_benchmark_of_which_nothing_is_known_has_the_spread_of_all(
    fitted: RecordsScales, table: pd.DataFrame
) -> None:
    narrow = copy.copy(fitted)
    narrow.blank_curve_ = ResidualCurve(fitted.blank_curve_.offsets / 10)
    known = table.head(8)[INPUTS]
    blank = known[["model", "n_params", "release_year"]]
    assert _width(narrow, known) == _width(fitted, known)
    assert _width(narrow, blank) < 0.5 * _width(fitted, blank)


def test_the_scale_follows_where_residuals_are_large_as_far_as_it_is_let() -> None:
    rng = np.random.default_rng(0)
    is_wild = (np.arange(4_000) % 2).astype(np.float64)
    residuals = rng.normal(size=4_000) * np.where(is_wild > 0, 2.0, 0.3)
    ratios = []
    for damping in (0.0, 0.5, 1.0):
        scale = ResidualScale.fit(is_wild[:, None], residuals, np.ones(4_000), damping=damping, rounds=60)
        calm, wild = scale.predict(np.array([[0.0], [1.0]]))
        ratios.append(wild / calm)
    assert ratios[0] == pytest.approx(1.0)
    assert 1.5 < ratios[1] < ratios[2]
    assert ratios[2] > 3.0


@pytest.mark.parametrize("rounds", [3, 7])
def test_the_scale_has_as_many_trees_as_the_predictor_is_told(table: pd.DataFrame, rounds: int) -> None:
    predictor = BenchmarkScorePredictor(scale_rounds=rounds)  # type: ignore[arg-type]
    predictor.fit(table[INPUTS], table["value"], groups=table["leak_group"])
    assert predictor.scale_.booster.num_trees() == rounds
