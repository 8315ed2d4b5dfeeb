"""Forecasts of success: what text, other models and anchors add, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import log_loss
from foretell.predictors.success.baselines import ModelBenchmarkRate
from foretell.predictors.success.predictor import SuccessPredictor
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from tests.predictors.success.synthetic_success import INPUTS, make_success


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return make_success(500)


@pytest.fixture(scope="module")
def fitted(runs: pd.DataFrame) -> SuccessPredictor:
    learn = runs[runs["query_id"].str[1:].astype(int) % 10 < 7]
    return SuccessPredictor(n_components=10).fit(learn[INPUTS], learn["right"], groups=learn["query_id"])


@pytest.fixture(scope="module")
def test(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["query_id"].str[1:].astype(int) % 10 >= 7].reset_index(drop=True)


def loss(chance: pd.Series, rows: pd.DataFrame) -> float:
    return float(log_loss(rows["right"], chance).mean())


def known(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(score=rows["right"], output_tokens=1.0)


def test_text_beats_the_rate_and_outcomes_of_others_beat_the_text(
    runs: pd.DataFrame, fitted: SuccessPredictor, test: pd.DataFrame
) -> None:
    learn = runs[runs["query_id"].str[1:].astype(int) % 10 < 7]
    rate = loss(ModelBenchmarkRate().fit(learn[INPUTS], learn["right"]).predict_mean(test[INPUTS]), test)
    cold = loss(fitted.predict_mean(test[INPUTS]), test)
    warm = loss(fitted.predict_mean(attach_context(test[INPUTS], known(test), pilots=False)), test)
    assert cold < 0.95 * rate
    assert warm < 0.99 * cold
    assert loss(test["chance"], test) < warm  # nobody beats the truth


def test_chances_are_calibrated(fitted: SuccessPredictor, test: pd.DataFrame) -> None:
    chance = fitted.predict_mean(test[INPUTS])
    assert chance.mean() == pytest.approx(test["right"].mean(), abs=0.1)  # 150 items: 4 se
    high = chance > chance.median()
    assert chance[high].mean() == pytest.approx(test["right"][high].mean(), abs=0.1)


def test_quantiles_are_those_of_one_outcome(fitted: SuccessPredictor, test: pd.DataFrame) -> None:
    chance = fitted.predict_mean(test[INPUTS].head(3))
    quantiles = fitted.predict_quantiles(test[INPUTS].head(3), [0.01, 0.5, 0.99])
    expected = (np.array([0.01, 0.5, 0.99]) > 1 - chance.to_numpy()[:, None]).astype(float)
    np.testing.assert_array_equal(quantiles.to_numpy(), expected)
    density = fitted.distribution(test[INPUTS].head(3)).log_density(test["right"].head(3))
    assert -density.to_numpy() == pytest.approx(log_loss(test["right"].head(3), chance))


def test_anchors_place_a_new_model(runs: pd.DataFrame, test: pd.DataFrame) -> None:
    learn = runs[(runs["query_id"].str[1:].astype(int) % 10 < 7) & (runs["model"] != "m0")]
    fitted = SuccessPredictor(n_components=10).fit(learn[INPUTS], learn["right"], groups=learn["query_id"])
    anchors = runs[(runs["model"] == "m0") & (runs["query_id"].str[1:].astype(int) < 30)]
    asked = test[test["model"] == "m0"]
    adapted = fitted.adapt(attach_context(anchors[INPUTS], known(learn)), anchors["right"])
    before, after = fitted.predict_mean(asked[INPUTS]), adapted.predict_mean(asked[INPUTS])
    assert loss(after, asked) < loss(before, asked)
    assert set(fitted.known_of(asked[INPUTS])) == {"benchmark"}
    assert set(adapted.known_of(asked[INPUTS])) == {"cell"}
    assert "m0" not in fitted.models_


def test_what_was_not_seen_is_less_sure(fitted: SuccessPredictor) -> None:
    row = pd.DataFrame(
        {"model": ["m3", "m3", "new"], "benchmark": ["x", "other", "x"], "prompt_text": ["name a colour"] * 3}
    )
    sure = (fitted.predict_mean(row) - 0.5).abs()
    assert sure.iloc[0] > sure.iloc[2]
    assert fitted.known_of(row).tolist() == ["cell", "model", "benchmark"]
    assert "other models" in fitted.basis_of(row).iloc[2]


def test_other_outcomes_than_right_and_wrong_are_refused(runs: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match=r"0 \(wrong\) or 1 \(right\)"):
        SuccessPredictor().fit(runs[INPUTS], runs["right"] + 0.5)


def test_requests_without_texts_or_benchmarks_are_forecast_by_rate() -> None:
    X = pd.DataFrame({"model": ["a"] * 40 + ["b"] * 40})
    y = pd.Series([1.0] * 30 + [0.0] * 10 + [1.0] * 10 + [0.0] * 30)
    chance = SuccessPredictor().fit(X, y).predict_mean(pd.DataFrame({"model": ["a", "b"]}))
    assert chance.tolist() == pytest.approx([0.75, 0.25], abs=0.06)
