"""The predictor and its baselines on made-up runs of which the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.serving import forecast_frame
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline, ModelBenchmarkBaseline
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.trained_cells import TrainedCellsPredictor
from tests.predictors.thinking_tokens.synthetic_runs import BENCHMARKS, INPUTS, MODELS, SLOPE_PER_PROOF, make_runs


def _fit(predictor: LogQuantilePredictor, runs: pd.DataFrame) -> LogQuantilePredictor:
    return predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"], is_censored=runs["is_censored"])


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return make_runs(280, n_replicates=2, seed=1)


@pytest.fixture(scope="module")
def test() -> pd.DataFrame:
    runs = make_runs(300, n_replicates=2, seed=2)
    return runs.assign(query_id="new " + runs["query_id"])


@pytest.fixture(scope="module")
def fitted(train: pd.DataFrame) -> LogQuantilePredictor:
    return _fit(ThinkingTokensPredictor(), train)


def _log_error(predictor: LogQuantilePredictor, X: pd.DataFrame, truth: pd.Series) -> float:
    return float(np.abs(np.log(predictor.predict(X)) - truth).mean())


def test_text_model_and_benchmark_are_learnt(
    fitted: LogQuantilePredictor, train: pd.DataFrame, test: pd.DataFrame
) -> None:
    errors = {
        type(p).__name__: _log_error(p, test[INPUTS], test["log_tokens"])
        for p in (fitted, *(_fit(b, train) for b in (ModelBenchmarkBaseline(), ModelBaseline(), GlobalBaseline())))
    }
    assert list(errors.values()) == sorted(errors.values())
    assert errors["ThinkingTokensPredictor"] < 0.85 * errors["ModelBenchmarkBaseline"]


def test_intervals_cover_new_queries(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    interval = fitted.predict_interval(test[INPUTS], 0.9)
    covered = test["output_tokens"].between(interval["lower"], interval["upper"]).groupby(test["query_id"]).mean()
    # 300 queries: four standard errors of a share of .9 are .07.
    assert covered.mean() == pytest.approx(0.9, abs=0.07)


def test_the_mean_adds_up_to_the_bill_and_the_median_does_not(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    bill = test["output_tokens"].sum()
    assert fitted.predict_mean(test[INPUTS]).sum() / bill == pytest.approx(1.0, abs=0.12)
    assert fitted.predict(test[INPUTS]).sum() < 0.93 * fitted.predict_mean(test[INPUTS]).sum()


def test_runs_on_other_models_and_pilots_each_help(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    known, new = test[test["replicate"] == 0], test[test["replicate"] == 1]
    cold = _log_error(fitted, new[INPUTS], new["centre"])
    warm = _log_error(fitted, attach_context(new[INPUTS], known, pilots=False), new["centre"])
    pilot = _log_error(fitted, attach_context(new[INPUTS], known), new["centre"])
    assert warm < 0.75 * cold
    assert pilot < warm


def test_informed_intervals_are_narrower_and_still_cover(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    known, new = test[test["replicate"] == 0], test[test["replicate"] == 1]
    cold = np.log(fitted.predict_interval(new[INPUTS], 0.9))
    X = attach_context(new[INPUTS], known)
    interval = fitted.predict_interval(X, 0.9)
    informed = np.log(interval)
    assert (informed["upper"] - informed["lower"]).mean() < 0.8 * (cold["upper"] - cold["lower"]).mean()
    covered = new["output_tokens"].between(interval["lower"], interval["upper"])
    assert covered.groupby(new["query_id"]).mean().mean() == pytest.approx(0.9, abs=0.07)


def test_empty_context_is_the_cold_forecast(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    X = test[INPUTS].head(6)
    nothing = attach_context(X, test.iloc[:0])
    pd.testing.assert_frame_equal(fitted.predict_quantiles(nothing), fitted.predict_quantiles(X))


def test_the_order_of_known_runs_does_not_matter(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    X = attach_context(test[INPUTS].head(3), test[test["replicate"] == 1])
    turned = X.assign(**{c: [v[::-1] for v in X[c]] for c in X.columns if c.startswith("context_")})
    np.testing.assert_allclose(fitted.predict_quantiles(turned), fitted.predict_quantiles(X), rtol=1e-9)


def test_forecasts_stop_at_max_tokens(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    X = test[INPUTS].head(50)
    free, capped = fitted.predict_quantiles(X), fitted.predict_quantiles(X.assign(max_tokens=300.0))
    pd.testing.assert_frame_equal(capped, free.clip(upper=300.0))
    assert (fitted.predict_mean(X.assign(max_tokens=300.0)) <= 300.0).all()


@pytest.mark.parametrize("predictor", [ThinkingTokensPredictor(n_estimators=20, refit=False), ModelBenchmarkBaseline()])
def test_capped_runs_do_not_pull_the_forecast_down(predictor: LogQuantilePredictor) -> None:
    """Runs of the large model are cut off at its median; the forecast of its centre stays where the truth is."""
    cap = float(np.exp(MODELS["large"] + 0.5 + 1.5 * SLOPE_PER_PROOF))
    runs = make_runs(800, cap=cap, seed=3)
    share = runs.loc[runs["model"] == "large", "is_censored"].mean()
    assert 0.4 < share < 0.6
    new = make_runs(400, seed=4)
    new = new[(new["model"] == "large") & (new["benchmark"] == "sums")]
    naive = _fit(clone(predictor), runs.assign(is_censored=False))
    aware = _fit(clone(predictor), runs)
    bias = float((np.log(aware.predict(new[INPUTS])) - new["centre"]).mean())
    bias_upper = np.log(aware.predict_quantiles(new[INPUTS], (0.75,))[0.75]) - new["log_tokens"].quantile(0.75)
    naive_upper = np.log(naive.predict_quantiles(new[INPUTS], (0.75,))[0.75]) - new["log_tokens"].quantile(0.75)
    # The centre of 200 new queries has a standard error of .04, that of the training cell .03.
    assert bias == pytest.approx(0.0, abs=0.12)
    assert abs(bias_upper.mean()) < abs(naive_upper.mean())


def test_columns_that_are_absent_or_null_are_fine(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    bare = fitted.predict_quantiles(test[["model"]].head(4))
    null = fitted.predict_quantiles(
        test[["model"]].head(4).assign(benchmark=None, prompt_text=None, reasoning_effort=None, input_tokens=np.nan)
    )
    pd.testing.assert_frame_equal(bare, null)


def test_a_model_never_seen_is_forecast_wider(fitted: LogQuantilePredictor, test: pd.DataFrame) -> None:
    X = test[INPUTS].head(30)
    quantiles = fitted.predict_quantiles(X.assign(model="never seen"), (0.05, 0.95))
    assert np.isfinite(quantiles.to_numpy()).all()


def test_text_that_is_not_there_at_all_can_be_learnt_from() -> None:
    runs = make_runs(40, seed=5)
    fitted = ThinkingTokensPredictor().fit(runs[["model"]], runs["output_tokens"])
    assert np.isfinite(fitted.predict_quantiles(runs[["model"]].head(3)).to_numpy()).all()


def test_a_handful_of_runs_is_enough_to_fit() -> None:
    runs = make_runs(4, seed=6)
    fitted = _fit(ThinkingTokensPredictor(), runs)
    assert np.isfinite(fitted.predict_quantiles(runs[INPUTS]).to_numpy()).all()


def test_context_of_unequal_lengths_is_refused_by_name(fitted: LogQuantilePredictor) -> None:
    X = pd.DataFrame({"model": ["small"], "context_models": [["large"]], "context_output_tokens": [[1.0, 2.0]]})
    with pytest.raises(InvalidInputError, match="lists of equal length"):
        fitted.predict(X)
    bad = X.assign(context_output_tokens=[[float("nan")]])
    with pytest.raises(InvalidInputError, match="finite numbers, not negative"):
        fitted.predict(bad)


@pytest.mark.slow
def test_the_seed_decides_and_nothing_else() -> None:
    runs = make_runs(80, n_replicates=2, seed=7)
    X = runs[INPUTS].head(20)
    first, again, other = (
        _fit(ThinkingTokensPredictor(n_estimators=10, random_state=seed), runs).predict_quantiles(X)
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    assert not np.allclose(other, first, rtol=1e-6)


def test_benchmarks_differ_as_they_should(fitted: LogQuantilePredictor) -> None:
    X = pd.DataFrame({"model": "medium", "benchmark": list(BENCHMARKS)})
    sums, proofs = np.log(fitted.predict(X))
    assert proofs - sums == pytest.approx(BENCHMARKS["proofs"], abs=0.3)


# -- cells without runs --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def small_fit(train: pd.DataFrame) -> ThinkingTokensPredictor:
    return ThinkingTokensPredictor(n_estimators=10, refit=False).fit(
        train[INPUTS], train["output_tokens"], groups=train["query_id"]
    )


def _of_trained(predictor: ThinkingTokensPredictor) -> TrainedCellsPredictor:
    """The same without what cells share."""
    trained = TrainedCellsPredictor(**predictor.get_params())
    vars(trained).update({name: value for name, value in vars(predictor).items() if name != "unseen_"})
    return trained


def test_cells_that_were_seen_are_forecast_as_without_the_others(
    small_fit: ThinkingTokensPredictor, test: pd.DataFrame
) -> None:
    trained = _of_trained(small_fit)
    for X in (test[INPUTS], attach_context(test[INPUTS].head(60), test)):
        pd.testing.assert_frame_equal(small_fit.predict_quantiles(X), trained.predict_quantiles(X), check_exact=True)
        pd.testing.assert_series_equal(small_fit.predict_mean(X), trained.predict_mean(X), check_exact=True)
    mixed = pd.concat([test[INPUTS].head(5), test[INPUTS].head(5).assign(model="new")], ignore_index=True)
    whole = small_fit.predict_quantiles(mixed)
    np.testing.assert_allclose(whole.iloc[:5], trained.predict_quantiles(mixed.iloc[:5]), rtol=1e-9)
    quantiles, mean, known, basis = small_fit.answer(mixed, (0.05, 0.5))
    np.testing.assert_allclose(quantiles[:, 1], whole[0.5], rtol=1e-9)
    np.testing.assert_allclose(mean, small_fit.predict_mean(mixed), rtol=1e-9)
    assert list(known) == small_fit.known_of(mixed).tolist()
    assert list(basis) == small_fit.basis_of(mixed).tolist()


def test_a_forecast_says_what_it_rests_on_and_widens_with_what_is_not_known(
    small_fit: ThinkingTokensPredictor, test: pd.DataFrame
) -> None:
    row = test[INPUTS].iloc[[0]]
    X = pd.concat(
        [row, row.assign(benchmark="new"), row.assign(model="new"), row.assign(model="new", benchmark="new")],
        ignore_index=True,
    )
    assert small_fit.known_of(X).tolist() == ["cell", "model", "benchmark", "neither"]
    assert small_fit.basis_of(X)[2] == "3 models on this benchmark, no run of this one"
    assert forecast_frame(small_fit, X).columns[:2].tolist() == ["known", "basis"]
    interval = np.log(small_fit.predict_interval(X))
    width = interval["upper"] - interval["lower"]
    assert width[0] < width[1:].min()
    assert width[3] == width.max()
    deviation = small_fit.shared_deviation(X)
    assert deviation[0] < deviation[1:].min()
    assert (small_fit.predict_mean(X.assign(max_tokens=50.0)) <= 50.0).all()


def test_a_model_is_the_same_in_every_spelling(train: pd.DataFrame, test: pd.DataFrame) -> None:
    names = {"small": "claude-haiku-4-5-20251001", "medium": "gpt-5", "large": "o3"}
    spelt = train.assign(model=train["model"].map(names))
    predictor = ThinkingTokensPredictor(n_estimators=5, refit=False).fit(
        spelt[INPUTS], spelt["output_tokens"], groups=spelt["query_id"]
    )
    asked = test.loc[test["model"] == "small", INPUTS].head(6)
    other = asked.assign(model="anthropic/claude-haiku-4.5")
    exact = predictor.predict_quantiles(asked.assign(model=names["small"]))
    pd.testing.assert_frame_equal(predictor.predict_quantiles(other), exact, check_exact=True)
    assert (predictor.known_of(other) == "cell").all()


def test_runs_of_other_models_say_how_long_the_answers_of_a_new_one_are(
    small_fit: ThinkingTokensPredictor, test: pd.DataFrame
) -> None:
    asked = test[test["model"] == "large"]
    X = asked[INPUTS].assign(model="new")
    others = test[test["model"] != "large"]
    errors = []
    for inputs in (X, attach_context(X, others)):
        median = np.log(small_fit.predict(inputs))
        errors.append((median - asked["centre"]).std())
    assert errors[1] < 0.7 * errors[0]
    blind = X.assign(prompt_text=None)
    assert errors[0] < (np.log(small_fit.predict(blind)) - asked["centre"]).std()


def test_what_was_saved_forecasts_cells_without_runs_as_it_did(
    small_fit: ThinkingTokensPredictor, test: pd.DataFrame, tmp_path: Path
) -> None:
    again = ThinkingTokensPredictor.load(small_fit.save(tmp_path / "model"))
    X = test[INPUTS].head(8).assign(model=["small", "new"] * 4)
    pd.testing.assert_frame_equal(again.predict_quantiles(X), small_fit.predict_quantiles(X), check_exact=True)


def test_anchors_of_a_seen_cell_move_it(small_fit: ThinkingTokensPredictor, test: pd.DataFrame) -> None:
    own = test[(test["model"] == "small") & (test["benchmark"] == "sums")].head(30)
    adapted = small_fit.adapt(own[INPUTS], 4.0 * own["output_tokens"])
    before, after = (np.log(p.predict(test[INPUTS])) for p in (small_fit, adapted))
    is_own = (test["model"] == "small") & (test["benchmark"] == "sums")
    moved = (after - before)[is_own]
    np.testing.assert_allclose(moved, moved.iloc[0], rtol=1e-9)
    assert 0.0 < moved.iloc[0] < np.log(4.0)
    np.testing.assert_array_equal(after[~is_own], before[~is_own])


def test_a_source_that_was_not_seen_is_not_taken_for_one_that_was(train: pd.DataFrame, test: pd.DataFrame) -> None:
    sourced = train.assign(source=np.where(train["benchmark"] == "sums", "a", "b"))
    columns = [*INPUTS, "source"]
    predictor = ThinkingTokensPredictor(n_estimators=5, refit=False).fit(
        sourced[columns], sourced["output_tokens"], groups=sourced["query_id"]
    )
    row = test.loc[test["benchmark"] == "sums", INPUTS].iloc[[0]]
    X = pd.concat([row.assign(source=source) for source in ("a", None, "c")], ignore_index=True)
    assert predictor.known_of(X).tolist() == ["cell", "cell", "model"]
    interval = np.log(predictor.predict_interval(X))
    width = interval["upper"] - interval["lower"]
    assert width[0] == width[1] < width[2]
