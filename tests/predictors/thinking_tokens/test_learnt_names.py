"""A fit keeps the most frequent names by themselves; all others are one name, and are forecast as that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.arrays import most_frequent
from foretell.predictors.base import load_predictor
from foretell.predictors.success.predictor import SuccessPredictor
from foretell.predictors.thinking_tokens.baselines import ModelBaseline
from foretell.predictors.thinking_tokens.pooling import learnt_names
from foretell.predictors.thinking_tokens.pooling.learnt_names import OTHERS, LearntNames, as_came
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

LEVEL = {"big": 5.0, "small": 4.0, "rare a": 7.0, "rare b": 7.0, "rare c": 7.0}


@pytest.fixture(scope="module")
def runs() -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Two models with many runs and three rare ones, which write much more."""
    rng = np.random.default_rng(0)
    models = [
        m for m, n in {"big": 150, "small": 120, "rare a": 20, "rare b": 20, "rare c": 20}.items() for _ in range(n)
    ]
    X = pd.DataFrame({"model": models, "benchmark": "chat", "source": "s", "reasoning_effort": None})
    y = pd.Series(np.exp([LEVEL[model] + 0.2 * rng.normal() for model in models]))
    return X.astype({"reasoning_effort": "str"}), y, pd.Series([f"q{i % 110}" for i in range(len(X))])


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learnt_names, "MOST_NAMES", 2)


def test_most_frequent_names_with_ties_by_name() -> None:
    assert most_frequent(pd.Series(list("ccaabbbd")), 2) == ["a", "b"]
    assert most_frequent(pd.Series(list("cab")), 5) == ["a", "b", "c"]


def test_names_are_found_again(runs, two: None) -> None:
    X = runs[0]
    names = LearntNames.of(X)
    assert names.kept == {"model": {"big", "small"}}
    pooled = names.applied(X)
    assert pooled["model"].value_counts()[OTHERS] == 60
    assert names.applied(pooled) is pooled
    pd.testing.assert_frame_equal(as_came(pooled)[list(X)], X)


def test_below_the_bound_nothing_is_replaced(runs) -> None:
    X = runs[0]
    assert LearntNames.of(X).applied(X) is X
    assert as_came(X) is X


@pytest.mark.parametrize("new", [ModelBaseline, lambda: ThinkingTokensPredictor(n_estimators=5)])
def test_rare_models_are_forecast_as_one(new, runs, two: None, tmp_path: Path) -> None:
    X, y, query = runs
    model = new().fit(X, y, groups=query)
    asked = pd.DataFrame({"model": list(LEVEL), "benchmark": "chat", "source": "s"})
    log_median = np.log(model.predict(asked)).set_axis(list(LEVEL))
    np.testing.assert_allclose(log_median, pd.Series(LEVEL), atol=0.5)
    assert log_median["rare a"] == log_median["rare b"] == log_median["rare c"]
    model.save(tmp_path / "saved")
    again = load_predictor(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.predict_quantiles(asked), model.predict_quantiles(asked))


def test_anchors_move_a_rare_model_alone(runs, two: None) -> None:
    X, y, query = runs
    model = ThinkingTokensPredictor(n_estimators=5).fit(X, y, groups=query)
    asked = pd.DataFrame({"model": ["big", "rare a", "rare b"], "benchmark": "chat", "source": "s"})
    anchors = pd.DataFrame({"model": ["rare a"] * 20, "benchmark": "chat", "source": "s"})
    adapted = model.adapt(anchors, pd.Series(np.full(20, np.exp(9.0))))
    moved = np.log(adapted.predict(asked) / model.predict(asked))
    assert moved[1] > 0.3
    assert abs(moved[0]) < moved[1] / 3


def test_another_rare_model_is_no_pilot(runs, two: None) -> None:
    # Both go by one name, but a run on another model is not one of the request's own.
    X, y, query = runs
    model = ThinkingTokensPredictor(n_estimators=5).fit(X, y, groups=query)
    known = {"benchmark": "chat", "source": "s", "context_output_tokens": [[5000.0]]}
    of_other, of_own = (
        pd.DataFrame({"model": ["rare a"], "context_models": [[other]], **known}) for other in ("rare b", "rare a")
    )
    regimes = [model._heads(model.names_.applied(model._validate(each))).regime[0] for each in (of_other, of_own)]
    assert regimes == [1, 2]  # warm, pilot


def test_success_of_rare_models_is_that_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs) -> None:
    X, _, query = runs
    right = pd.Series((np.arange(len(X)) % 3 > 0).astype(float))
    monkeypatch.setattr("foretell.predictors.success.predictor.MOST_MODELS", 2)
    model = SuccessPredictor().fit(X, right, groups=query)
    assert model.models_ == ["big", "small"]
    assert model.blocks_.shape[0] == 2
    asked = pd.DataFrame({"model": ["rare a", "rare b", "never seen"], "benchmark": "chat"})
    assert len(set(model.predict_mean(asked))) == 1


def test_a_manifest_lists_some_cells(monkeypatch: pytest.MonkeyPatch, runs, tmp_path: Path) -> None:
    X, y, query = runs
    model = ModelBaseline().fit(X, y, groups=query)
    monkeypatch.setattr("foretell.predictors.base.MOST_CELLS", 4)
    model.save(tmp_path / "saved")
    assert load_predictor(tmp_path / "saved").known_cells is None
