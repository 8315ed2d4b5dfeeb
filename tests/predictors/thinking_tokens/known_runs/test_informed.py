"""What known runs tell beside their length, and what is learnt from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.schemas.requests import CONTEXT_COLUMNS
from foretell.predictors.thinking_tokens.known_runs.context import attach_context, flatten_context, summarise_context
from foretell.predictors.thinking_tokens.known_runs.details import DetailCentres, run_details
from foretell.predictors.thinking_tokens.known_runs.query_effects import ContextRuns
from foretell.predictors.thinking_tokens.log_quantiles import FEW_GROUPS
from foretell.predictors.thinking_tokens.pooling.hierarchy import text_share
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs


# -- details -------------------------------------------------------------------------------------------
def test_details_are_logs_and_unknown_stays_unknown() -> None:
    found = run_details(np.array([100.0, 10.0, 5.0]), np.array([90.0, np.nan, 9.0]), np.array([1.0, np.nan, 0.0]))
    np.testing.assert_allclose(found[0], [np.log(91), np.log(11), 1.0])
    assert np.isnan(found[1]).all()
    assert found[2, 1] == 0.0  # more reasoning than output: no answer, not a negative one


def test_details_are_compared_within_a_configuration() -> None:
    X = pd.DataFrame({"model": np.repeat(["a", "b"], 200)})
    score = np.r_[np.tile([0.0, 1.0], 100), np.ones(200)]
    details = np.column_stack([np.full((400, 2), np.nan), score])
    centres = DetailCentres.fit(X, details, np.ones(400))
    centred = centres.centred(X, details)
    assert centred[0, 2] == pytest.approx(-0.5, abs=0.02)
    assert centred[-1, 2] == pytest.approx(0.0, abs=0.02)
    assert np.isnan(centred[:, :2]).all()
    again = DetailCentres.from_state(*centres.state())
    np.testing.assert_array_equal(again.centred(X, details), centred)


def _runs_whose_score_tells(n: int, seed: int) -> pd.DataFrame:
    """The other models' lengths say nothing, their scores say how hard the query is."""
    rng = np.random.default_rng(seed)
    runs = make_runs(n, query_spread=0.0, seed=seed)
    hard = pd.Series(rng.random(n) < 0.5, index=[f"q{i}" for i in range(n)])
    is_hard = runs["query_id"].map(hard).to_numpy()
    large = (runs["model"] == "large").to_numpy()
    runs["output_tokens"] *= np.where(large & is_hard, 4.0, 1.0)
    runs["run_score"] = np.where(is_hard, 0.0, 1.0)
    return runs


def test_scores_of_the_other_models_improve_a_warm_forecast() -> None:
    learn, new = _runs_whose_score_tells(400, 0), _runs_whose_score_tells(120, 1)
    new["query_id"] = "new" + new["query_id"]
    predictor = ThinkingTokensPredictor(n_estimators=40, refit=False, min_child_samples=20)
    predictor.fit(learn[[*INPUTS, "run_score"]], learn["output_tokens"], groups=learn["query_id"])
    own = new[new["model"] == "large"]
    truth = np.log(own["output_tokens"])
    runs = new.rename(columns={"run_score": "score"})
    blind = attach_context(own[INPUTS], runs.drop(columns="score"), pilots=False)
    errors = [
        (np.log(predictor.predict(X)) - truth).abs().mean()
        for X in (attach_context(own[INPUTS], runs, pilots=False), blind)
    ]
    assert errors[0] < 0.75 * errors[1]


def test_what_came_out_of_a_run_is_never_read_by_a_forecast() -> None:
    learn = _runs_whose_score_tells(60, 0)
    predictor = ThinkingTokensPredictor(n_estimators=5, refit=False)
    predictor.fit(learn[[*INPUTS, "run_score"]], learn["output_tokens"], groups=learn["query_id"])
    X = learn[INPUTS].head(20)
    plain = predictor.predict_quantiles(X)
    told = predictor.predict_quantiles(X.assign(run_score=0.0, run_reasoning_tokens=1e6))
    pd.testing.assert_frame_equal(plain, told)


# -- context columns -----------------------------------------------------------------------------------
def test_context_carries_reasoning_and_scores_with_gaps() -> None:
    requests = pd.DataFrame({"query_id": ["q"], "model": ["a"]})
    runs = pd.DataFrame(
        {
            "query_id": ["q", "q"], "model": ["b", "c"], "output_tokens": [10.0, 20.0],
            "reasoning_tokens": [4.0, np.nan], "score": [np.nan, 1.0],
        }
    )  # fmt: skip
    X = attach_context(requests, runs)
    assert set(CONTEXT_COLUMNS) <= set(X.columns)
    flat = flatten_context(X)
    assert flat is not None
    np.testing.assert_allclose(flat.details[0, :2], [np.log(5), np.log(7)])
    assert flat.details[1, 2] == 1.0
    assert np.isnan(flat.details[0, 2])


def test_context_columns_of_other_lengths_are_refused() -> None:
    runs = make_runs(40)
    predictor = ThinkingTokensPredictor(n_estimators=2, refit=False)
    predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])
    X = pd.DataFrame({"model": ["small"]})
    X["context_models"], X["context_output_tokens"] = [["large"]], [[10.0]]
    X["context_scores"] = [[1.0, 0.0]]
    with pytest.raises(InvalidInputError, match="equal length"):
        predictor.predict(X)


def test_summary_is_the_mean_by_configuration() -> None:
    context = ContextRuns(
        np.array([0, 0, 0, 2]), np.array(["a", "a", "b", "own"], dtype=object), np.array([1.0, 3.0, -1.0, 0.5]),
        np.zeros(4), np.array([False, False, False, True]),
        np.column_stack([np.full(4, np.nan), np.arange(4.0), np.ones(4)]),
    )  # fmt: skip
    found = summarise_context(3, context, ["a", "b"])
    assert found.shape == (3, 12 + 4 * 2)
    assert found[0, :4].tolist() == [3.0, 0.0, -1.0, 3.0]
    assert found[0, 4] == pytest.approx(1.0)  # mean residual of the warm runs
    assert found[2, 8] == pytest.approx(0.5)  # and of the pilots
    assert found[0, 12:14].tolist() == [2.0, -1.0]
    assert np.isnan(found[1, 2:]).all()


# -- few queries ---------------------------------------------------------------------------------------
def test_text_that_other_texts_do_not_confirm_is_taken_back() -> None:
    rng = np.random.default_rng(0)
    text = rng.normal(size=5000)
    weight = np.ones(5000)
    assert text_share(rng.normal(size=5000), text, weight) < 0.05
    assert text_share(text + rng.normal(size=5000), text, weight) == 1.0
    assert text_share(-text, text, weight) == 0.0


def test_few_queries_are_all_forecast_before_they_calibrate() -> None:
    runs = make_runs(30, n_replicates=4)
    assert runs["query_id"].nunique() < FEW_GROUPS
    predictor = ThinkingTokensPredictor(n_estimators=10)
    held = predictor._held_out(runs["query_id"])
    assert len(held) > 1
    np.testing.assert_array_equal(np.sum(held, axis=0), np.ones(len(runs)))
    predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])
    new = make_runs(80, seed=9)
    q = predictor.predict_quantiles(new[INPUTS], [0.05, 0.95])
    assert new["output_tokens"].between(q[0.05], q[0.95]).mean() > 0.8
