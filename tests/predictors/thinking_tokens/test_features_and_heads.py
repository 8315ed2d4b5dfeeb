"""Every main feature of the token forecasts is there for something: what goes wrong without it."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.bill.totals import forecast_batch
from foretell.predictors.thinking_tokens.heads.boosting import Boosting
from foretell.predictors.thinking_tokens.heads.calibration import Calibration
from foretell.predictors.thinking_tokens.heads.distribution import COLD, HEAD_LEVELS, PILOT, WARM
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from foretell.predictors.thinking_tokens.known_runs.informed import InformedHeads, InformedRuns, winsorised
from foretell.predictors.thinking_tokens.log_quantiles import Runs, complete_censored, run_weights
from foretell.predictors.thinking_tokens.pooling.hierarchy import PooledLocation
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

FEW_TREES = {"n_estimators": 5, "min_child_samples": 20}


def _as_runs(table: pd.DataFrame) -> Runs:
    n = len(table)
    return Runs(
        table[INPUTS].drop(columns="query_id").reset_index(drop=True),
        np.log(table["output_tokens"].to_numpy()),
        table["is_censored"].to_numpy(dtype=bool),
        np.ones(n),
        table["query_id"].to_numpy(dtype=object),
        np.full((n, 3), np.nan),
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_runs(80, n_replicates=2)


@pytest.fixture(scope="module")
def fitted(table: pd.DataFrame) -> ThinkingTokensPredictor:
    predictor = ThinkingTokensPredictor(**FEW_TREES)  # type: ignore[arg-type]
    return predictor.fit(table[INPUTS], table["output_tokens"], groups=table["query_id"])


def test_what_is_known_decides_the_regime(fitted: ThinkingTokensPredictor, table: pd.DataFrame) -> None:
    first = table[table["replicate"] == 0]
    asked = first[first["query_id"].isin(["q0", "q1", "q2"])][INPUTS]
    known = first[(first["query_id"] == "q0") | ((first["query_id"] == "q1") & (first["model"] == "small"))]
    heads = fitted._heads(attach_context(asked, known))
    regime = dict(zip(asked["query_id"] + asked["model"], heads.regime, strict=True))
    assert regime["q0small"] == regime["q0large"] == regime["q1small"] == PILOT
    assert regime["q1medium"] == regime["q1large"] == WARM
    assert regime["q2small"] == COLD


def test_each_regime_has_a_calibration_of_its_own(fitted: ThinkingTokensPredictor) -> None:
    offsets = [fitted.calibrations_[regime].offsets for regime in (COLD, WARM, PILOT)]
    assert not np.allclose(offsets[0], offsets[1])
    assert not np.allclose(offsets[1], offsets[2])


def test_runaways_are_pulled_in_and_the_rest_is_left() -> None:
    residual = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 40.0])
    found = winsorised(residual)
    np.testing.assert_array_equal(found[:5], residual[:5])
    middle = 0.25
    assert found[5] == pytest.approx(middle + 2.5 * 1.4826 * float(np.median(np.abs(residual - middle))))
    np.testing.assert_array_equal(winsorised(np.zeros(4)), np.zeros(4))


def _informed(columns: np.ndarray, centre: np.ndarray, shape: np.ndarray, regime: int) -> InformedRuns:
    n = len(columns)
    return InformedRuns(columns, np.zeros(n), centre, np.tile(shape, (n, 1)), np.full(n, regime))


def test_one_runaway_moves_no_mean_of_an_informed_forecast() -> None:
    rng = np.random.default_rng(0)
    n = 400
    centre = rng.normal(size=n)
    runs = _informed(np.column_stack([np.zeros((n, 3)), centre]), centre, np.linspace(-1, 1, len(HEAD_LEVELS)), WARM)
    z = centre + 0.1 * rng.normal(size=n)
    ran_away = z.copy()
    ran_away[:4] += 30.0
    medians, shares = [], []
    for outcome in (z, ran_away):
        heads = InformedHeads(Boosting(20, 0.05, 4, 40, 1, 0)).fit(
            runs, outcome, np.ones(n), np.arange(n).astype(object)
        )
        medians.append(heads.values(runs)[:, 4])
        shares.append(heads.shares_[WARM])
    assert np.abs(medians[1] - medians[0]).mean() < 0.1
    assert shares[0] <= 1.0


def test_a_forecast_that_explains_more_than_the_effects_is_narrower_than_they_say() -> None:
    rng = np.random.default_rng(0)
    n = 600
    pilot = rng.normal(size=n)  # the effects have seen nothing of it
    shape = np.linspace(-2, 2, len(HEAD_LEVELS))
    runs = _informed(np.column_stack([np.zeros((n, 3)), pilot]), np.zeros(n), shape, PILOT)
    z = pilot + 0.1 * rng.normal(size=n)
    heads = InformedHeads(Boosting(20, 0.1, 4, 40, 1, 0)).fit(runs, z, np.ones(n), np.arange(n).astype(object))
    assert heads.shares_[PILOT] < 0.5
    width = np.ptp(heads.values(runs)[:, [0, -1]], axis=1)
    assert width.mean() < 2.5


def test_a_query_counts_once_however_often_it_was_run() -> None:
    X = pd.DataFrame({"model": ["a", "a", "a", "b"]})
    np.testing.assert_allclose(run_weights(X, pd.Series(["q", "q", "r", "q"])), [0.5, 0.5, 1.0, 1.0])


@pytest.mark.parametrize(("refit", "share"), [(True, 1.0), (False, 0.8)])
def test_every_query_is_learnt_from_once_it_has_calibrated(refit: bool, share: float) -> None:
    table = make_runs(150)
    predictor = ThinkingTokensPredictor(refit=refit, **FEW_TREES)  # type: ignore[arg-type]
    predictor.fit(table[INPUTS], table["output_tokens"], groups=table["query_id"])
    by_benchmark = predictor.location_.sizes_[predictor.location_.levels_.index(("benchmark",))]
    assert by_benchmark.sum() == pytest.approx(450 * share, rel=0.1)


def test_runs_of_few_texts_are_not_learnt_by_heart() -> None:
    table = make_runs(10, n_replicates=12, query_spread=1.0, run_spread=0.1, seed=3)
    table["prompt_text"] = [f"word{int(q[1:]):02d} alone{q}" for q in table["query_id"]]
    predictor = ThinkingTokensPredictor(refit=False, slope_penalty=1e-3, **FEW_TREES)  # type: ignore[arg-type]
    predictor.fit(table[INPUTS], table["output_tokens"], groups=table["query_id"])
    text = predictor.location_.text_effect(table[INPUTS], predictor._embed(table[INPUTS]))
    assert text.std() < 0.3


def test_a_leaf_holds_five_queries_however_many_runs_they_have() -> None:
    predictor = ThinkingTokensPredictor(min_child_samples=20)
    assert predictor._boosting(_as_runs(make_runs(10, n_replicates=10))).min_child_samples == 5 * 30
    assert predictor._boosting(_as_runs(make_runs(40))).min_child_samples == 20


def test_the_location_of_a_run_has_not_seen_its_query(fitted: ThinkingTokensPredictor, table: pd.DataFrame) -> None:
    runs = _as_runs(table)
    embedded = fitted._embed(runs.X)
    own = runs.groups == "q7"
    plain = fitted._out_of_fold(runs, embedded, runs.log_tokens)
    moved = fitted._out_of_fold(runs, embedded, runs.log_tokens + 5.0 * own)
    for before, after in zip(plain, moved, strict=True):
        np.testing.assert_allclose(before[own], after[own])
        assert not np.allclose(before, after)


def test_lower_bounds_are_completed_without_bias() -> None:
    """Cut off at the middle, the mean of log tokens is as it was before the cut."""
    whole = make_runs(600, query_spread=0.0, run_spread=0.5, seed=5)
    whole = whole[(whole["model"] == "medium") & (whole["benchmark"] == "sums")].assign(prompt_text="same")
    cap = float(whole["output_tokens"].median())
    cut = whole.assign(output_tokens=whole["output_tokens"].clip(upper=cap), is_censored=whole["output_tokens"] > cap)
    means = {}
    for name, table in (("whole", whole), ("cut", cut), ("ignored", cut.assign(is_censored=False))):
        runs = _as_runs(table)
        location = PooledLocation().prepare(runs.X, np.empty((len(runs), 0)), runs.weight)
        means[name] = complete_censored(runs, location)[0].mean()
    assert means["cut"] == pytest.approx(means["whole"], abs=0.15)
    assert means["ignored"] < means["whole"] - 0.2


def test_the_offsets_of_its_regime_move_a_forecast(fitted: ThinkingTokensPredictor, table: pd.DataFrame) -> None:
    asked = table[table["replicate"] == 1].head(30)[INPUTS]
    known = table[table["replicate"] == 0]
    told = {WARM: attach_context(asked, known, pilots=False), PILOT: attach_context(asked, known)}
    for regime, X in {COLD: asked, **told}.items():
        moved = copy.copy(fitted)
        moved.calibrations_ = {**fitted.calibrations_, regime: Calibration(offsets=np.ones(len(HEAD_LEVELS)))}
        plain = copy.copy(fitted)
        plain.calibrations_ = {**fitted.calibrations_, regime: Calibration()}
        np.testing.assert_allclose(moved.predict(X), np.e * plain.predict(X))


def test_the_heads_learn_what_the_location_cannot_see() -> None:
    table = make_runs(90, query_spread=0.1, run_spread=0.1)
    hot = np.random.default_rng(0).random(len(table)) < 0.5
    table["temperature"] = hot.astype(float)
    table["output_tokens"] *= np.where(hot, 3.0, 1.0)
    predictor = ThinkingTokensPredictor(n_estimators=25, learning_rate=0.2, min_child_samples=20, refit=False)
    predictor.fit(table[[*INPUTS, "temperature"]], table["output_tokens"], groups=table["query_id"])
    asked = table.head(30)[INPUTS]
    ratio = predictor.predict(asked.assign(temperature=1.0)) / predictor.predict(asked.assign(temperature=0.0))
    assert ratio.median() > 2.0


def test_a_batch_shares_the_error_of_its_cells(fitted: ThinkingTokensPredictor, table: pd.DataFrame) -> None:
    asked = table[table["replicate"] == 0].head(60)[INPUTS]
    batch = forecast_batch(fitted, asked)
    np.testing.assert_allclose(batch.shared_deviation, fitted.shared_deviation(asked))
    assert (batch.shared_deviation > 0).all()
    assert len(set(batch.groups)) == 6  # three models on two benchmarks
