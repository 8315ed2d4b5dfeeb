"""Totals of batches, quotes, and new models from a few anchors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.errors import InvalidInputError, NotFittedError
from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms, quote, shares_cheapest
from foretell.predictors.thinking_tokens.bill.totals import BatchForecast, forecast_batch, simulate_totals
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
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


def test_cells_without_runs_are_off_together(fitted: ThinkingTokensPredictor) -> None:
    """Two unseen benchmarks of one model share its error; it is in the total once, not in each request too."""
    X = pd.DataFrame({"model": "new", "benchmark": ["sums"] * 300 + ["proofs"] * 300, "prompt_text": "count the apple"})
    batch = forecast_batch(fitted, X, levels=(0.05, 0.95))
    assert batch.shared_draws is not None
    drawn = batch.shared_draws
    assert np.corrcoef(drawn)[0, 1] > 0.5
    np.testing.assert_allclose(drawn.std(axis=1), 1.0, rtol=0.1)
    tokens, _ = simulate_totals(batch, n_draws=4000)
    spread = np.log(np.quantile(tokens, 0.95) / np.quantile(tokens, 0.05))
    assert spread == pytest.approx(3.29 * batch.shared_deviation[0], rel=0.25)
    assert batch.quantiles is not None
    single = np.log(batch.quantiles[0.95] / batch.quantiles[0.05])
    assert (single > spread).all()
    np.testing.assert_allclose(batch.expected, fitted.predict_mean(X), rtol=1e-6)


def test_a_batch_of_seen_and_unseen_cells_is_that_of_its_parts(fitted: ThinkingTokensPredictor) -> None:
    X = pd.DataFrame({"model": ["new", "large", "new", "small"], "benchmark": "sums", "prompt_text": "count the apple"})
    batch = forecast_batch(fitted, X, levels=(0.5,))
    alone = forecast_batch(fitted, X.iloc[[1, 3]], levels=(0.5,))
    np.testing.assert_allclose(batch.steps[[1, 3]], alone.steps)
    assert batch.quantiles is not None
    assert alone.quantiles is not None
    np.testing.assert_allclose(batch.quantiles[0.5], fitted.predict(X))
    np.testing.assert_allclose(batch.shared_deviation, fitted.shared_deviation(X))
    assert np.isnan(batch.take(np.array([1])).shared_draws[batch.groups[1]]).all()  # type: ignore[index]
    assert len(set(batch.groups)) == 3


def test_quote_ranks_models_and_adds_up(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, price_file: Path
) -> None:
    found = quote(fitted, requests, QuoteTerms(["large", "small", "unheard"], budget_usd=0.7), price_file=price_file)
    totals = found.totals.set_index("model")
    assert found.cheapest == "small"
    assert totals.loc["small", "probability_cheapest"] > 0.95
    assert np.isnan(totals.loc["unheard", "probability_cheapest"])
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
    assert totals["known"].to_dict() == {"small": "cell", "large": "cell", "unheard": "benchmark"}
    assert "no run of this one" in totals.loc["unheard", "basis"]
    assert "no price" in totals.loc["unheard", "problem"]
    assert totals.loc["small", "problem"] is None or pd.isna(totals.loc["small", "problem"])


def test_the_probability_of_being_cheapest_is_a_share_of_paired_draws() -> None:
    draws = [np.array([1.0, 3.0, 2.0, 5.0]), np.array([2.0, 2.0, 2.0, 9.0]), np.full(4, np.nan)]
    # The first is cheaper in the first and the last draw, the second in the second, and they tie in the third.
    np.testing.assert_allclose(shares_cheapest(draws), [2.5 / 4, 1.5 / 4, np.nan])
    np.testing.assert_allclose(shares_cheapest([np.array([7.0, 8.0])]), [1.0])


def test_options_that_cannot_be_told_apart_have_no_cheapest(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, tmp_path: Path
) -> None:
    # One of two models that nobody has seen was "the cheapest", and "with a probability of 90 %" close by.
    same = [f"  - {{model: {name}, input_usd_per_mtok: 1, output_usd_per_mtok: 10}}\n" for name in ("one", "two")]
    prices = tmp_path / "prices.yaml"
    prices.write_text("version: test\nmodels:\n" + "".join(same), "utf-8")
    quoted = quote(fitted, requests, QuoteTerms(["one", "two"]), price_file=prices)
    assert quoted.cheapest is None
    shares = quoted.totals["probability_cheapest"]
    assert shares.sum() == pytest.approx(1.0)
    assert shares.between(0.4, 0.6).all(), "equal forecasts at equal prices"
    assert "Never seen in training: " in quoted.caveats[1]
    assert "what 3 models have in common" in quoted.caveats[1]


def test_requests_without_text_are_counted_and_left_out(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame
) -> None:
    broken = requests.copy()
    broken.loc[[3, 5], "prompt_text"] = [None, "  "]
    found = quote(fitted, broken, QuoteTerms(["small"]))
    assert found.left_out["request"].tolist() == [3, 5]
    assert found.totals["n_left_out"].tolist() == [2]
    assert found.totals["n_requests"].tolist() == [38]
    with pytest.raises(InvalidInputError, match="no request is left"):
        quote(fitted, broken.loc[[3]], QuoteTerms(["small"]))


def test_the_reservation_is_far_below_the_worst_case(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, price_file: Path
) -> None:
    found = quote(
        fitted, requests.assign(max_tokens=32_000.0), QuoteTerms(["small"]), price_file=price_file
    ).totals.iloc[0]
    assert found["worst_case_tokens"] == 40 * 32_000
    assert found["tokens_mean"] < found["reservation_tokens"] < 0.2 * found["worst_case_tokens"]
    assert np.isnan(quote(fitted, requests, QuoteTerms(["small"])).totals.iloc[0]["worst_case_tokens"])


def test_quotes_refuse_what_makes_no_sense(fitted: ThinkingTokensPredictor, requests: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="at least one model and none twice"):
        quote(fitted, requests, QuoteTerms(["small", "small"]))
    with pytest.raises(InvalidInputError, match="`confidence`"):
        quote(fitted, requests, QuoteTerms(["small"], confidence=1.0))
    with pytest.raises(InvalidInputError, match="unique index"):
        quote(fitted, pd.concat([requests, requests]), QuoteTerms(["small"]))
    with pytest.raises(NotFittedError):
        quote(ThinkingTokensPredictor(), requests, QuoteTerms(["small"]))


# -- new models ----------------------------------------------------------------------------------------
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


def test_a_name_that_is_nearly_one_that_is_known_is_asked_back(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame
) -> None:
    quoted = quote(fitted, requests, QuoteTerms(["meduim"]))
    assert "meduim: did you mean medium?" in quoted.caveats
