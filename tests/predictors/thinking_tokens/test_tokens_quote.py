"""Totals of batches, quotes, and new models from a few anchors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictors.errors import InvalidInputError, NotFittedError
from predictors.thinking_tokens.adaptation import fit_follower
from predictors.thinking_tokens.context import attach_context
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from predictors.thinking_tokens.quote import quote
from predictors.thinking_tokens.totals import BatchForecast, forecast_batch, simulate_totals
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

PRICES = """
version: test
models:
  - {model: small, input_usd_per_mtok: 1, output_usd_per_mtok: 10}
  - {model: large, input_usd_per_mtok: 1, output_usd_per_mtok: 10}
"""


@pytest.fixture(scope="module")
def fitted() -> ThinkingTokensPredictor:
    runs = make_runs(200, seed=1)
    predictor = ThinkingTokensPredictor(n_estimators=20, refit=False)
    return predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    runs = make_runs(40, seed=2)
    return runs.loc[runs["model"] == "small", ["prompt_text", "benchmark", "input_tokens"]].reset_index(drop=True)


@pytest.fixture
def price_file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES, "utf-8")
    return path


def _batch(n: int, deviation: float, cap: float = np.inf) -> BatchForecast:
    steps = np.tile(np.arange(1.0, 101.0), (n, 1))
    return BatchForecast(steps, np.full(n, deviation), np.zeros(n, dtype=np.intp), np.full(n, cap))


def test_independent_requests_average_out() -> None:
    tokens, usd = simulate_totals(_batch(400, 0.0), n_draws=4000)
    # Uniform on 1..100: mean 50.5, variance (100^2 - 1) / 12.
    assert tokens.mean() == pytest.approx(400 * 50.5, rel=0.002)
    assert tokens.std() == pytest.approx(np.sqrt(400 * (100**2 - 1) / 12), rel=0.05)
    assert np.isnan(usd).all()


def test_a_shared_error_does_not_average_out() -> None:
    tokens, _ = simulate_totals(_batch(2000, 0.3), n_draws=4000)
    # A common log-normal factor of mean 1 has standard deviation sqrt(exp(.09) - 1).
    assert tokens.mean() == pytest.approx(2000 * 50.5, rel=0.03)
    assert tokens.std() / tokens.mean() == pytest.approx(np.sqrt(np.exp(0.09) - 1), rel=0.06)


def test_totals_stop_at_the_limits_and_cost_what_they_cost() -> None:
    fixed, per_token = np.full(10, 0.5), np.full(10, 2.0)
    tokens, usd = simulate_totals(_batch(10, 0.5, cap=3.0), usd_fixed=fixed, usd_per_token=per_token)
    assert tokens.max() <= 30.0
    np.testing.assert_allclose(usd, 5.0 + 2.0 * tokens)


def test_a_batch_has_the_mean_that_was_calibrated(fitted: ThinkingTokensPredictor, requests: pd.DataFrame) -> None:
    X = requests.assign(model="large")
    np.testing.assert_allclose(forecast_batch(fitted, X).steps.mean(axis=1), fitted.predict_mean(X), rtol=1e-9)


def test_cells_with_fewer_runs_are_less_sure(fitted: ThinkingTokensPredictor) -> None:
    X = pd.DataFrame({"model": ["large", "large", "new"], "benchmark": ["sums", "new", "new"]})
    known, new_benchmark, new_both = fitted.shared_deviation(X)
    assert 0 < known < new_benchmark < new_both


def test_quote_ranks_models_and_adds_up(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, price_file: Path
) -> None:
    found = quote(fitted, requests, ["large", "small", "unheard"], budget_usd=0.7, price_file=price_file)
    totals = found.totals.set_index("model")
    assert found.cheapest == "small"
    assert list(found.totals["model"])[:2] == ["small", "large"]
    for model in ("small", "large"):
        rows = found.requests[found.requests["model"] == model]
        assert totals.loc[model, "tokens_mean"] == pytest.approx(rows["mean"].sum(), rel=0.05)
        assert totals.loc[model, "usd_mean"] == pytest.approx(rows["cost_mean_usd"].sum(), rel=0.05)
        ends = totals.loc[model, ["tokens_lower_90", "tokens_lower_50", "tokens_upper_50", "tokens_upper_90"]]
        assert (np.diff(ends.astype(float)) > 0).all()
    assert totals.loc["small", "probability_over_budget"] < 0.05
    assert totals.loc["large", "probability_over_budget"] > 0.95
    assert np.isnan(totals.loc["unheard", "usd_mean"])
    assert "never seen" in totals.loc["unheard", "problem"]
    assert "no price" in totals.loc["unheard", "problem"]
    assert totals.loc["small", "problem"] is None or pd.isna(totals.loc["small", "problem"])


def test_requests_without_text_are_counted_and_left_out(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame
) -> None:
    broken = requests.copy()
    broken.loc[[3, 5], "prompt_text"] = [None, "  "]
    found = quote(fitted, broken, ["small"])
    assert found.left_out["request"].tolist() == [3, 5]
    assert found.totals["n_left_out"].tolist() == [2]
    assert found.totals["n_requests"].tolist() == [38]
    with pytest.raises(InvalidInputError, match="no request is left"):
        quote(fitted, broken.loc[[3]], ["small"])


def test_the_reservation_is_far_below_the_worst_case(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, price_file: Path
) -> None:
    found = quote(fitted, requests.assign(max_tokens=32_000.0), ["small"], price_file=price_file).totals.iloc[0]
    assert found["worst_case_tokens"] == 40 * 32_000
    assert found["tokens_mean"] < found["reservation_tokens"] < 0.2 * found["worst_case_tokens"]
    assert np.isnan(quote(fitted, requests, ["small"]).totals.iloc[0]["worst_case_tokens"])


def test_quotes_refuse_what_makes_no_sense(fitted: ThinkingTokensPredictor, requests: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="at least one model and none twice"):
        quote(fitted, requests, ["small", "small"])
    with pytest.raises(InvalidInputError, match="`confidence`"):
        quote(fitted, requests, ["small"], confidence=1.0)
    with pytest.raises(InvalidInputError, match="unique index"):
        quote(fitted, pd.concat([requests, requests]), ["small"])
    with pytest.raises(NotFittedError):
        quote(ThinkingTokensPredictor(), requests, ["small"])


# -- new models ----------------------------------------------------------------------------------------
def test_a_follower_of_many_anchors_is_found_again() -> None:
    rng = np.random.default_rng(0)
    text, score = rng.normal(size=20_000) * 0.3, rng.normal(size=20_000) * 0.8
    residual = 0.5 + 1.5 * (text + 0.6 * score) + rng.normal(size=20_000) * 0.4
    found = fit_follower(residual, text, score, 0.6)
    assert found.intercept == pytest.approx(0.5, abs=0.01)
    assert found.slope == pytest.approx(1.5, abs=0.02)
    assert found.spread == pytest.approx(np.sqrt((1.5 * 0.6 * 0.8) ** 2 + 0.16), abs=0.01)


def test_one_anchor_leaves_slope_and_spread_as_they_were_expected() -> None:
    found = fit_follower(np.array([1.0]), np.array([0.2]), np.array([0.5]), 0.6)
    assert found.slope == pytest.approx(1.0)
    assert found.intercept == pytest.approx(1.0 - 0.2 - 0.6 * 0.5)


def test_a_new_model_is_forecast_from_anchors_better_than_by_their_mean() -> None:
    runs = make_runs(300, seed=3, query_spread=0.8)
    others, own = runs[runs["model"] != "large"], runs[(runs["model"] == "large") & (runs["benchmark"] == "sums")]
    predictor = ThinkingTokensPredictor(n_estimators=20, refit=False)
    predictor.fit(others[INPUTS], others["output_tokens"], groups=others["query_id"])
    anchors, rest = own.iloc[:20], own.iloc[20:]
    X = attach_context(anchors[INPUTS], others)
    before = predictor.predict_quantiles(others[INPUTS].head(9))
    adapted = predictor.adapt(X, anchors["output_tokens"])
    median = np.log(adapted.predict(attach_context(rest[INPUTS], others)))
    error = (median - rest["log_tokens"]).abs().mean()
    by_mean = (anchors["log_tokens"].mean() - rest["log_tokens"]).abs().mean()
    assert error < 0.6 * by_mean
    pd.testing.assert_frame_equal(predictor.predict_quantiles(others[INPUTS].head(9)), before)
    pd.testing.assert_frame_equal(adapted.predict_quantiles(others[INPUTS].head(9)), before)
    assert adapted.known_models == {"small", "medium", "large"}


def test_adapted_predictors_are_saved_whole(fitted: ThinkingTokensPredictor, tmp_path: Path) -> None:
    runs = make_runs(10, seed=4)
    X = runs.loc[runs["model"] == "medium", INPUTS].assign(model="brand new")
    adapted = fitted.adapt(X, pd.Series(np.arange(50.0, 60.0), index=X.index))
    loaded = ThinkingTokensPredictor.load(adapted.save(tmp_path))
    pd.testing.assert_frame_equal(loaded.predict_quantiles(X), adapted.predict_quantiles(X), check_exact=True)
    np.testing.assert_allclose(adapted.predict(X).median(), 55.0, rtol=0.4)
