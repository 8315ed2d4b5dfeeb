"""A fit whose texts and held-out runs are worked on by a cluster of real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

from foretell.assets.engine import on_dask, open_engine
from foretell.assets.engine.on_dask import DaskEngine
from foretell.assets.families.thinking_tokens.examples import examples_from_traces
from foretell.assets.lake.datasets import load_traces
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.fitting import boosting
from foretell.predictors.fitting.boosting import blocks_mapped_by, map_here
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.prices.cost import price_requests

pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {"n_estimators": 20, "n_components": 20, "refit": False}


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskEngine]:
    with open_engine("dask") as engine:
        assert isinstance(engine, DaskEngine)
        yield engine


@pytest.fixture(scope="module")
def examples(starter_traces: Path) -> pd.DataFrame:
    price = partial(price_requests, price_file=None)
    return examples_from_traces(
        load_traces("starter", starter=starter_traces, cache=Path(), mirror=None, price=price).traces
    )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "BLOCK_ROWS", 60)
    monkeypatch.setattr(on_dask, "MIN_BLOCKS", 1)


def fit(examples: pd.DataFrame, mapper: boosting.Mapper) -> ThinkingTokensPredictor:
    learn = examples[examples["split"] != "test"]
    with blocks_mapped_by(mapper):
        return ThinkingTokensPredictor(**SMALL).fit(
            learn.drop(columns=["value", "is_censored"]),
            learn["value"],
            groups=learn["query_id"],
            is_censored=learn["is_censored"],
        )


@pytest.fixture(scope="module")
def local(examples: pd.DataFrame) -> ThinkingTokensPredictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "BLOCK_ROWS", 60)
        return fit(examples, map_here)


def test_a_fit_of_the_cluster_is_that_of_this_process(
    engine: DaskEngine, examples: pd.DataFrame, local: ThinkingTokensPredictor
) -> None:
    sent: list[str] = []

    def told(function: Any, blocks: Any) -> Any:
        sent.extend([getattr(function, "__name__", "")] * len(blocks))
        return engine.map_blocks(function, blocks)

    fitted = fit(examples, told)
    assert set(sent) == {"_embed_block", "_forecast_block"}
    assert sent.count("_forecast_block") >= 3
    for regime, calibration in local.calibrations_.items():
        assert fitted.calibrations_[regime].state() == calibration.state()
    trees = [model.cold_[4].model_to_string() for model in (fitted, local)]
    assert trees[0] == trees[1]
    X = examples.drop(columns=["value", "is_censored"])
    levels = list(EVALUATION_LEVELS)
    pd.testing.assert_frame_equal(fitted.predict_quantiles(X, levels), local.predict_quantiles(X, levels), rtol=1e-9)


def slowly(model: ThinkingTokensPredictor, X: pd.DataFrame) -> np.ndarray:
    time.sleep(0.5)
    return model._heads(X).values


def test_a_worker_killed_at_a_block_costs_that_block(
    engine: DaskEngine, examples: pd.DataFrame, local: ThinkingTokensPredictor
) -> None:
    X = local._validate(examples.drop(columns=["value", "is_censored"]).head(480))
    blocks = [X.iloc[rows] for rows in boosting.row_slices(len(X))]
    engine.client.wait_for_workers(2, timeout=30)
    victim = next(iter(engine.client.run(os.getpid).values()))
    killer = threading.Timer(1.2, os.kill, (victim, signal.SIGKILL))
    killer.start()
    found = engine.map_blocks(partial(slowly, local), blocks)
    assert killer.finished.is_set(), "the work was done before the worker was killed"
    assert not Path(f"/proc/{victim}").exists() or victim not in engine.client.run(os.getpid).values()
    np.testing.assert_array_equal(np.vstack(found), np.vstack([local._heads(block).values for block in blocks]))


def test_few_blocks_stay_in_the_run(engine: DaskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "MIN_BLOCKS", 4)
    assert engine.map_blocks(lambda _: os.getpid(), [1, 2, 3]) == [os.getpid()] * 3
    assert os.getpid() not in engine.map_blocks(lambda _: os.getpid(), [1, 2, 3, 4])
