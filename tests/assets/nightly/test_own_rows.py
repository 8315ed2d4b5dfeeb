"""Own rows decide where they suffice: on simulated users, never worse than own or public rows alone beyond noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.typing import Series

from foretell.assets.judging.family import Family
from foretell.assets.nightly.rows import MIN_OWN_QUERIES, choose_rows, chosen_rows
from foretell.assets.registry.policy import Policy
from foretell.predictors.base import BasePredictor

N_PUBLIC = 2_000
NOISE = 1.0


class OnePoint(pa.DataFrameModel):
    x: Series[float]

    class Config:
        strict = "filter"


class Line(BasePredictor):
    """Least squares with one feature; normal quantiles of the residuals."""

    input_schema = OnePoint

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        design = np.column_stack([np.ones(len(X)), X["x"]])
        self.coefficients_ = np.linalg.lstsq(design, np.asarray(y), rcond=None)[0]
        self.spread_ = float(np.std(np.asarray(y) - design @ self.coefficients_)) + 1e-9

    def _predict_quantiles(self, X: pd.DataFrame, levels: Any) -> np.ndarray:
        from scipy.stats import norm

        middle = self.coefficients_[0] + self.coefficients_[1] * X["x"].to_numpy()
        return middle[:, None] + self.spread_ * norm.ppf(np.asarray(levels))[None, :]


def line_family() -> Family:
    def no_examples(*_: object) -> pd.DataFrame:
        raise AssertionError("examples are given")

    return Family(
        name="line", predictor=Line, baselines=dict, reference="none", unit="points", scale="identity", segments=(),
        datasets=(), dataset="", make_examples=no_examples, splits=no_examples, read_inputs=no_examples, limits="",
    )  # fmt: skip


def users(n_own: int, slope: float, seed: int) -> pd.DataFrame:
    """Public rows of slope 2, and those of a user whose slope may be another; every query has one run."""
    rng = np.random.default_rng(seed)
    n = N_PUBLIC + n_own
    is_own = np.arange(n) >= N_PUBLIC
    x = rng.normal(0, 1, n)
    query = pd.Series([f"q{i}" for i in range(n)])
    return pd.DataFrame({
        "x": x, "value": np.where(is_own, slope, 2.0) * x + rng.normal(0, NOISE, n), "is_own": is_own,
        "query_id": query, "cell_id": query, "replicate": 0, "is_censored": False, "is_capped": False,
        "repeat_prob": 1.0, "split": "train", "started_at": pd.NaT, "source": np.where(is_own, "mine", "public/x"),
    })  # fmt: skip


def error_on_fresh(model: Line, slope: float) -> float:
    x = pd.DataFrame({"x": np.random.default_rng(99).normal(0, 1, 4_000)})
    middle = model.predict_quantiles(x, [0.5]).iloc[:, 0].to_numpy()
    return float(np.sqrt(np.mean((middle - slope * x["x"].to_numpy()) ** 2 + NOISE**2)))


def fitted(rows: pd.DataFrame) -> Line:
    return Line().fit(rows[["x"]], rows["value"], groups=rows["query_id"])


@pytest.mark.parametrize("n_own", [10, 100, 10_000])
@pytest.mark.parametrize("slope", [2.0, 5.0])
def test_never_worse_than_own_or_public_rows_alone_beyond_noise(n_own: int, slope: float) -> None:
    rows = users(n_own, slope, seed=n_own)
    choice, _ = choose_rows(line_family(), rows, Policy())
    chosen = error_on_fresh(fitted(chosen_rows(rows, choice)), slope)
    rivals = {name: error_on_fresh(fitted(chosen_rows(rows, name)), slope) for name in ("own", "public")}
    if n_own < MIN_OWN_QUERIES:
        assert choice == "all"
        assert chosen <= rivals["public"] + 0.02
    else:
        # A tenth of the noise is what a hundred own queries cannot tell apart.
        assert chosen <= min(rivals.values()) + 0.1 * NOISE
    if slope != 2.0 and n_own >= MIN_OWN_QUERIES:
        assert choice == "own"


def test_a_user_like_the_public_keeps_all_rows_and_the_choice_says_what_it_saw() -> None:
    choice, reason = choose_rows(line_family(), users(400, 2.0, seed=1), Policy())
    assert choice == "all"
    assert "400 own queries" in reason


def test_rows_without_an_own_part_are_taken_whole() -> None:
    rows = users(0, 2.0, seed=1).drop(columns="is_own")
    choice, _ = choose_rows(line_family(), rows, Policy())
    assert choice == "all"
    assert chosen_rows(rows, choice) is rows
