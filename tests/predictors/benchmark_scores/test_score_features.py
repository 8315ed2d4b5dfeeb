"""Every main feature of the score forecasts is there for something: what goes wrong without it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from predictors.benchmark_scores.calibration import ResidualCurve, ResidualScale
from predictors.benchmark_scores.components import ROUTES, Components, Parts, Rows, group_weights
from predictors.benchmark_scores.features import MODEL_COLUMNS, BenchmarkFeatures, benchmark_rows, model_matrix
from predictors.benchmark_scores.predictor import BenchmarkScorePredictor, _per_group
from predictors.benchmark_scores.scale import from_logit
from predictors.benchmark_scores.stack import EXPERTS, Stack
from predictors.sentence_embeddings import WIDTH, EmbeddingCache, use_embedding_cache
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

SMALL = {"forest_rounds": 20, "response_rounds": 20, "direct_rounds": 60}


class RecordsScales(BenchmarkScorePredictor):
    """Remembers how many rows each fit of the parts, and each scale of residuals, was learnt from."""

    def _new(self, rows: Rows) -> Components:
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
    return RecordsScales(experts=("direct",), **SMALL).fit(table[INPUTS], table["value"], groups=table["leak_group"])  # type: ignore[arg-type]


def _width(predictor: BenchmarkScorePredictor, X: pd.DataFrame) -> float:
    interval = predictor.predict_interval(X)
    return float((interval["upper"] - interval["lower"]).mean())


def test_residuals_are_standardised_by_scales_that_have_not_seen_them(fitted: RecordsScales) -> None:
    *out_of_fold, whole = fitted.sizes_
    assert whole == 24 * 8
    assert sum(whole - n for n in out_of_fold) == whole  # each row is left out once
    assert len(out_of_fold) == fitted.n_folds


def test_parts_are_stacked_by_forecasts_of_rows_that_they_have_not_seen(fitted: RecordsScales) -> None:
    whole, *out_of_fold = fitted.rows_
    assert whole == 24 * 8
    assert sum(whole - n for n in out_of_fold) == whole
    assert len(out_of_fold) == fitted.n_folds


def test_a_collection_of_many_benchmarks_counts_by_the_root_of_its_size() -> None:
    groups = np.array([0, 0, 0, 0, 1])
    np.testing.assert_allclose(group_weights(groups), [0.5, 0.5, 0.5, 0.5, 1.0])
    table, codes = benchmark_rows(make_scores(5, 2), ["benchmark"])
    rows = Rows(table, groups, np.empty((2, 0)), codes, np.tile([0, 1], 5), np.empty((10, 0)))
    np.testing.assert_allclose(_per_group(rows), [8**-0.5] * 8 + [2**-0.5] * 2)


def test_a_model_without_a_record_is_taken_for_what_its_metadata_suggest() -> None:
    table = make_scores(20, 40)
    benchmarks, codes = benchmark_rows(table, ["benchmark"])
    models = np.tile(np.arange(40), 20)
    features = model_matrix(table)
    rising = features[:, MODEL_COLUMNS.index("n_params")]
    has_run = models < 39
    rows = Rows(benchmarks, np.arange(len(benchmarks)), features[:40], codes, models, features).take(has_run)
    found = Components(BenchmarkFeatures().fit(benchmarks), with_routes=False, direct_rounds=2).fit(
        rows, rising[has_run]
    )
    assert found.model_effects[39] == pytest.approx(found.prior_effects(features[39:40])[0])
    assert found.model_effects[39] > 1.0


def test_what_metadata_leave_open_of_a_new_model_widens_its_forecast_alone(
    fitted: RecordsScales, table: pd.DataFrame
) -> None:
    surer = copy.copy(fitted)
    surer.unseen_model_deviation_ = 0.0
    known = table.head(8)[INPUTS]
    unseen = known.assign(model="never seen")
    assert _width(surer, known) == _width(fitted, known)
    assert _width(surer, unseen) < _width(fitted, unseen)


def test_a_benchmark_of_which_nothing_is_known_has_the_spread_of_all(
    fitted: RecordsScales, table: pd.DataFrame
) -> None:
    narrow = copy.copy(fitted)
    narrow.blank_curve_ = ResidualCurve(fitted.blank_curve_.offsets / 10)
    known = table.head(8)[INPUTS]
    blank = known[["model", "n_params", "release_year"]]
    assert _width(narrow, known) == _width(fitted, known)
    assert _width(narrow, blank) < 0.5 * _width(fitted, blank)


def test_size_lowers_no_score_even_where_the_data_say_so() -> None:
    table = make_scores(20, 40)
    benchmarks, codes = benchmark_rows(table, ["benchmark"])
    models = np.tile(np.arange(40), 20)
    features = model_matrix(table)
    rows = Rows(benchmarks, np.arange(len(benchmarks)), features[:40], codes, models, features)
    falling = -features[:, MODEL_COLUMNS.index("n_params")]
    found = Components(BenchmarkFeatures().fit(benchmarks), with_routes=False, direct_rounds=2).fit(rows, falling)
    asked = np.full((30, len(MODEL_COLUMNS)), np.nan)
    asked[:, MODEL_COLUMNS.index("n_params")] = np.linspace(17, 23, 30)
    assert (np.diff(found.prior_effects(asked)) >= 0).all()


def test_the_number_of_items_is_read_only_where_it_is_asked_for() -> None:
    table = make_scores(24, 8, spread=0.1)
    # A benchmark of many items is hard, which its redacted description must not tell.
    is_large = table["benchmark"].str[1:].astype(int) % 2 == 0
    table["value"] = np.where(is_large, 20.0, 80.0) + table["value"] / 100
    table["n_items"] = np.where(is_large, 90_000.0, 200.0) + table["benchmark"].str[1:].astype(float)
    table["leak_group"] = table["benchmark"]
    asked = table.head(8)[INPUTS]
    spread = []
    for settings in ({}, {"use_counts": True}):
        predictor = BenchmarkScorePredictor(**settings, experts=("direct",), **SMALL)  # type: ignore[arg-type]
        predictor.fit(table[[*INPUTS, "n_items"]], table["value"], groups=table["leak_group"])
        few, many = (predictor.predict(asked.assign(n_items=n)).mean() for n in (210.0, 91_000.0))
        spread.append(few - many)
    assert spread[0] == 0.0
    assert spread[1] > 10.0


@pytest.mark.parametrize("best", EXPERTS)
def test_the_stack_trusts_the_expert_that_is_right(best: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=600)
    forecasts = {name: truth + rng.normal(0, 0.1 if name == best else 2.0, 600) for name in EXPERTS}
    none = np.zeros(600)
    parts = Parts(np.column_stack([forecasts[name] for name in ROUTES]), none, none, none, none, forecasts["direct"])
    stack = Stack.fit(parts, np.asarray(from_logit(truth)), np.ones(600))
    assert dict(zip(EXPERTS, stack.weights, strict=True))[best] > 0.8


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
    predictor = BenchmarkScorePredictor(experts=("direct",), scale_rounds=rounds, **SMALL)  # type: ignore[arg-type]
    predictor.fit(table[INPUTS], table["value"], groups=table["leak_group"])
    assert predictor.scale_.booster.num_trees() == rounds


def _meaning(texts: Sequence[str]) -> NDArray[np.float32]:
    """A made-up encoder that knows the synonyms "trivial" and "effortless"."""
    out = np.zeros((len(texts), WIDTH), dtype=np.float32)
    easy = np.array(["trivial" in text or "effortless" in text for text in texts])
    out[:, 0], out[:, 1] = easy, ~easy
    return out


@pytest.fixture
def _made_up_meaning() -> Iterator[None]:
    use_embedding_cache(EmbeddingCache(load=lambda: _meaning))
    yield
    use_embedding_cache(EmbeddingCache())


@pytest.mark.usefixtures("_made_up_meaning")
def test_sentence_embeddings_know_words_that_were_never_seen(tmp_path: Path) -> None:
    table = make_scores(24, 8, spread=0.1)
    number = table["benchmark"].str[1:].astype(int)
    easy = number % 2 == 0
    table["task"] = np.where(easy, "Trivial, that is trivial.", "Demanding.") + number.map(
        lambda i: f" {chr(97 + i)}x."
    )
    table["value"] = np.where(easy, 85.0, 25.0) + table["value"] / 100
    table["leak_group"] = table["benchmark"]
    asked = table.head(2)[INPUTS].assign(task=["It is effortless.", "It is arduous."], benchmark="", leak_group="")
    gaps = []
    for use_sentences in (False, True):
        predictor = BenchmarkScorePredictor(use_sentences=use_sentences, **SMALL)  # type: ignore[arg-type]
        predictor.fit(table[INPUTS], table["value"], groups=table["leak_group"])
        forecast = predictor.predict(asked)
        gaps.append(forecast.iloc[0] - forecast.iloc[1])
    assert abs(gaps[0]) < 10.0
    assert gaps[1] > 20.0
    loaded = BenchmarkScorePredictor.load(predictor.save(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.predict(asked), forecast)
