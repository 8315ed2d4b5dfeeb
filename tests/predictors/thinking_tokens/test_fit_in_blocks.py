"""What is done by cell, by block or on a sample is what it would be on all rows at once."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.fitting import boosting
from foretell.predictors.fitting.boosting import (
    blocks_mapped_by,
    map_blocks,
    row_slices,
    train_boosters,
)
from foretell.predictors.fitting.text import features
from foretell.predictors.fitting.text.embedded import TextRecords
from foretell.predictors.fitting.text.features import TextEmbedding
from foretell.predictors.thinking_tokens.heads import boosting as heads
from foretell.predictors.thinking_tokens.heads.boosting import rows_learnt
from foretell.predictors.thinking_tokens.known_runs import context
from foretell.predictors.thinking_tokens.known_runs.context import sample_context
from foretell.predictors.thinking_tokens.log_quantiles import HeldOut, Runs, run_weights
from foretell.predictors.thinking_tokens.pooling import hierarchy
from foretell.predictors.thinking_tokens.pooling.cells import CellSums, row_products
from foretell.predictors.thinking_tokens.pooling.hierarchy import PooledLocation, out_of_fold
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

SMALL: dict[str, Any] = {"n_estimators": 8, "n_components": 6}


def cells_and_features(n: int, p: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of common and of rare cells, so that some have more rows than features and some fewer."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "model": rng.choice(["a", "b", "c"], n, p=[0.7, 0.25, 0.05]),
            "benchmark": rng.choice(["u", "v", None], n, p=[0.6, 0.3, 0.1]),
            "reasoning_effort": rng.choice(["low", "high"], n),
        }
    )
    return (
        X,
        rng.normal(size=(n, p)),
        rng.uniform(0.2, 1.0, n),
        rng.normal(size=n) + 2.0 * (X["model"] == "b").to_numpy(),
    )


@pytest.mark.parametrize("dtype", ["str", "object"])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_keys_of_many_rows_are_those_of_each_row(n: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(n)
    X = pd.DataFrame({name: rng.choice(np.array(["a", "b", "", None], dtype=object), n) for name in ("one", "two")})
    X = X.astype(dtype).set_axis(rng.permutation(n))
    for columns in (("one",), ("one", "two"), ("two", "absent", "one"), ()):
        keys = ["\x1f".join("" if name not in X or pd.isna(row[name]) else row[name] for name in columns)
                for _, row in X.iterrows()]  # fmt: skip
        for at_most in (1_000, -1):
            monkeypatch.setattr(hierarchy, "ROWS_KEYED_APART", at_most)
            assert hierarchy.cell_keys(X, columns).tolist() == keys
            codes, groups = hierarchy.groups_of(X, columns)
            assert codes.tolist() == [list(dict.fromkeys(keys)).index(key) for key in keys]
            assert len(groups) == len(set(keys))
            assert list(groups.columns) == [name for name in columns if name in X]


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 200), n_folds=st.integers(1, 4), seed=st.integers(0, 1000))
def test_sums_without_a_fold_are_sums_over_the_other_rows(n: int, n_folds: int, seed: int) -> None:
    _, table, weight, z = cells_and_features(n, 5, seed)
    rng = np.random.default_rng(seed)
    folds, cells = rng.integers(0, n_folds, n), rng.integers(0, 3, n)
    parts = folds * 3 + cells
    sums = CellSums.of_rows(parts, 3 * n_folds, table, weight).aimed_at(parts, table, weight, z)
    for fold in range(n_folds):
        rest = folds != fold if n_folds > 1 else folds == fold
        found = sums.without(fold, 3)
        own = [values[rest] for values in (cells, table, weight, z)]
        expected = CellSums.of_rows(own[0], 3, *own[1:3]).aimed_at(own[0], *own[1:])
        for name in ("n_rows", "weight", "target", "features", "cross"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-12)
        design = own[1][own[0] == 1]
        gram = (design * own[2][own[0] == 1][:, None]).T @ design
        np.testing.assert_allclose(found.gram(np.array([1])), gram, atol=1e-12)
        np.testing.assert_allclose(found.times(1, np.arange(5.0)), gram @ np.arange(5.0), atol=1e-10)


def test_products_of_rows_are_taken_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table, slopes, codes = rng.normal(size=(50, 4)), rng.normal(size=(3, 4)), rng.integers(0, 3, 50)
    monkeypatch.setattr("foretell.predictors.thinking_tokens.pooling.cells.ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(row_products(table, codes, slopes), (table * slopes[codes]).sum(axis=1), atol=1e-12)


def as_runs(table: pd.DataFrame) -> Runs:
    n = len(table)
    return Runs(
        table[INPUTS], table["log_tokens"].to_numpy(), np.zeros(n, dtype=bool), np.ones(n),
        table["query_id"].to_numpy(dtype=object), np.full((n, 3), np.nan),
    )  # fmt: skip


def test_a_location_out_of_fold_is_that_of_the_other_rows() -> None:
    X, table, weight, z = cells_and_features(300, 5, 0)
    folds = np.random.default_rng(0).integers(0, 3, 300)
    base, text = out_of_fold(PooledLocation, X, table, weight, z, folds)
    for fold in range(3):
        out = folds == fold
        location = PooledLocation().prepare(X[~out], table[~out], weight[~out])
        location.fit(z[~out])
        np.testing.assert_allclose(base[out], location.intercept(X[out]), atol=1e-9)
        np.testing.assert_allclose(text[out], location.text_effect(X[out], table[out]), atol=1e-9)


# -- texts ---------------------------------------------------------------------------------------
def test_embedded_texts_give_the_rows_of_the_table() -> None:
    texts = [*make_runs(30)["prompt_text"], None]
    embedding = TextEmbedding(n_components=5)
    embedded = embedding.fit_embedded(pd.Series(texts, dtype="str"))
    table = embedding.transform(texts)
    assert embedded.shape == table.shape
    rows = np.array([90, 3, 3, 7])
    np.testing.assert_array_equal(embedded[rows], table[rows])
    assert not table[90].any()
    assert len(np.unique(embedded.codes)) == 31
    assert embedding.transform([]).shape == (0, embedding.n_features)


@settings(max_examples=10, deadline=None)
@given(size=st.integers(1, 40))
def test_texts_embedded_in_blocks_are_those_of_one(size: int) -> None:
    # Single precision, and terms are added in the order in which a block meets them.
    texts = make_runs(30)["prompt_text"].tolist()
    embedding = TextEmbedding(n_components=5).fit(sorted(set(texts)))
    whole = embedding.transform(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "TEXTS_AT_ONCE", size)
        np.testing.assert_allclose(embedding.transform(texts), whole, atol=1e-5)


def test_of_many_texts_a_drawn_part_is_learnt_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sorted(set(make_runs(80)["prompt_text"]))
    everything = TextEmbedding(n_components=4).fit(texts)
    monkeypatch.setattr(features, "TEXTS_LEARNT", 60)
    part = TextEmbedding(n_components=4).fit(texts)
    assert not np.allclose(part.statistics_mean_, everything.statistics_mean_)
    turned = TextEmbedding(n_components=4).fit(texts[::-1])
    np.testing.assert_allclose(turned.statistics_mean_, part.statistics_mean_)
    assert turned.terms_["word"].vocabulary == part.terms_["word"].vocabulary
    assert set(features._drawn(texts)) == set(features._drawn([*texts[::-1]]))
    few = TextEmbedding(n_components=4).fit(texts[:60])
    assert features._drawn(texts[:60]) == texts[:60]
    assert few.n_features == part.n_features


def test_texts_that_are_kept_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "TEXTS_LEARNT", 10)
    monkeypatch.setattr("foretell.predictors.fitting.text.embedded.ROWS_MAPPED", 7)
    texts = make_runs(40)["prompt_text"].tolist()
    embedding = TextEmbedding(n_components=5)
    first = embedding.fit_embedded(pd.Series([*texts[:60], None], dtype="str"))
    before, terms = first[:], embedding.terms_
    read: list[str] = []
    embed = TextEmbedding._embed_block
    monkeypatch.setattr(TextEmbedding, "_embed_block", lambda self, part: read.extend(part) or embed(self, part))
    turned = [*texts[::-1], None]
    found = embedding.fit_embedded(pd.Series(turned, dtype="str"))
    assert set(read) == set(texts[60:])
    assert len(read) == len(set(read)) == 20
    assert embedding.terms_ is terms
    np.testing.assert_array_equal(first[:], before)
    np.testing.assert_allclose(found[:], embedding.transform(turned), atol=1e-5)
    assert not found[:][-1].any()
    assert copy.copy(embedding)._kept is None  # as it would go to a worker
    without_first = embedding.fit_embedded(pd.Series(texts[3:], dtype="str"))
    assert embedding.terms_ is not terms
    np.testing.assert_allclose(without_first[:], embedding.transform(texts[3:]), atol=1e-5)
    terms = embedding.terms_
    embedding.release()
    embedding.fit_embedded(pd.Series(texts, dtype="str"))
    assert embedding.terms_ is not terms


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_texts_of_a_fit_wait_on_disk_and_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    records = TextRecords(2, 1)
    records.append(np.array([[1.5, 2.5]], dtype=np.float32), np.array([[0.1]]))
    np.testing.assert_array_equal(records.features(np.array([1, 0, 1])), [[1.5, 2.5, 0.1], [0, 0, 0], [1.5, 2.5, 0.1]])
    assert records.features(np.array([], dtype=np.intp)).shape == (0, 3)
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(records, "_file", full)
        with pytest.raises(OSError, match="No space left"):
            records.append(np.zeros((1, 2), dtype=np.float32), np.zeros((1, 1)))


def test_a_large_fit_reads_its_texts_once_and_a_small_one_learns_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_runs(120)
    learnt: list[int] = []
    fit = TextEmbedding.fit
    monkeypatch.setattr(TextEmbedding, "fit", lambda self, texts: learnt.append(len(texts)) or fit(self, texts))
    models = []
    for at_most in (50_000, 60):
        monkeypatch.setattr(features, "TEXTS_LEARNT", at_most)
        models.append(ThinkingTokensPredictor(**SMALL))
        for _ in range(2):  # what an earlier fit has learnt is not for the next
            models[-1].fit(table[INPUTS], table["output_tokens"], groups=table["query_id"])
    assert learnt[:4] == [learnt[0], 120] * 2
    assert learnt[4:] == [learnt[0]] * 2
    assert learnt[0] < 120
    many, few = (np.log(model.predict(table[INPUTS])) for model in models)
    assert not np.array_equal(many, few)
    assert np.corrcoef(many, few)[0, 1] > 0.98


# -- rows that heads learn from --------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(at_most=st.integers(1, 80), n_queries=st.integers(1, 60), seed=st.integers(0, 1000))
def test_cells_give_as_many_rows_as_any_or_all_that_they_have(at_most: int, n_queries: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(np.array(["often", "seldom", "once"], dtype=object), 100, p=[0.8, 0.19, 0.01])
    queries = rng.integers(0, n_queries, 100).astype(str).astype(object)
    weight = run_weights(pd.DataFrame({"model": cells}), pd.Series(queries))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "ROWS_LEARNT", at_most)
        rows, kept = rows_learnt(cells, queries, weight)
        order = rng.permutation(100)
        turned, _ = rows_learnt(cells[order], queries[order], weight[order])
    assert (np.diff(rows) > 0).all()
    names, whole = np.unique(cells.astype(str), return_counts=True)
    of_cell = np.array([(cells[rows] == name).sum() for name in names])
    assert len(rows) <= max(at_most, len(names))
    assert len(rows) > at_most - len(names) or (of_cell == 1).all()
    most = of_cell.max()
    assert ((of_cell == whole) | (of_cell == most)).all()
    for name in names:
        here = cells[rows] == name
        assert kept[here].sum() == pytest.approx(weight[cells == name].sum())
        runs = pd.Series(queries[rows][here]).value_counts()
        if here.sum() < (cells == name).sum() and runs.max() > 1:
            assert len(runs) == len(set(queries[cells == name]))  # no second run of a query before all have one
    keys = [sorted(zip(cells[at], queries[at], strict=True)) for at in (rows, order[turned])]
    assert keys[0] == keys[1]


def _told(rows: list[int], columns: np.ndarray, *given: Any, **more: Any) -> list[Any]:
    rows.append(len(columns))
    return train_boosters(columns, *given, **more)


def test_heads_of_a_large_fit_learn_from_a_part_and_the_calibration_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_runs(150, n_replicates=2)
    models, sizes = [], []
    for at_most in (10_000, 900, 200):
        monkeypatch.setattr(heads, "ROWS_LEARNT", at_most)
        rows: list[int] = []
        monkeypatch.setattr(heads, "train_boosters", partial(_told, rows))
        model = ThinkingTokensPredictor(refit=False, **SMALL)
        models.append(model.fit(table[INPUTS], table["output_tokens"], groups=table["query_id"]))
        sizes.append(max(rows))
    assert sizes[0] == sizes[1] > 600
    assert sizes[2] in range(190, 201)
    whole, same, part = (model.predict_quantiles(table[INPUTS], [0.1, 0.5, 0.9]).to_numpy() for model in models)
    np.testing.assert_array_equal(same, whole)
    assert not np.array_equal(part, whole)
    assert np.corrcoef(np.log(part[:, 1]), np.log(whole[:, 1]))[0, 1] > 0.98
    np.testing.assert_array_equal(models[2].location_.intercepts_[0], models[0].location_.intercepts_[0])


# -- held-out runs in blocks ---------------------------------------------------------------------
@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 200), seed=st.integers(0, 100))
def test_blocks_hold_whole_queries_and_what_they_know(size: int, seed: int) -> None:
    table = make_runs(20, n_replicates=2, seed=seed).sample(frac=1, random_state=seed, ignore_index=True)
    runs, rng = as_runs(table), np.random.default_rng(seed)
    configs = table["model"].to_numpy(dtype=object)
    held = HeldOut(runs, rng.random(len(runs)), {1: sample_context(runs.groups, configs, rng, pilots=True)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "BLOCK_ROWS", size)
        blocks = held.blocks()
    assert len(blocks) == 1 or max(len(block.runs) for block in blocks) < size + 6
    assert sum(len(set(block.runs.groups)) for block in blocks) == 20
    assert sorted(np.concatenate([block.draws for block in blocks])) == sorted(held.draws)

    def told(block: HeldOut) -> list[tuple[float, float]]:
        target, source = block.given_runs[1]
        return list(zip(block.draws[target], block.draws[source], strict=True))

    assert Counter(pair for block in blocks for pair in told(block)) == Counter(told(held))
    for block in blocks:
        np.testing.assert_array_equal(block.runs.X["query_id"], block.runs.groups)
        assert all(np.diff(block.given_runs[1][0]) >= 0)


@pytest.mark.parametrize(("parts", "tolerance"), [((), 1e-12), (("word", "char"), 1e-4)])
def test_calibration_does_not_depend_on_the_blocks(
    parts: tuple[str, ...], tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With texts the heads move by the rounding of single precision, see above.
    table = make_runs(150, n_replicates=2, cap=2500.0)
    states = []
    for size in (50_000, 19):
        monkeypatch.setattr(boosting, "BLOCK_ROWS", size)
        model = ThinkingTokensPredictor(refit=False, text_parts=parts, **SMALL)
        model.fit(table[INPUTS], table["output_tokens"], groups=table["query_id"], is_censored=table["is_censored"])
        states.append(model.calibrations_)
    for regime, calibration in states[0].items():
        np.testing.assert_allclose(states[1][regime].offsets, calibration.offsets, atol=tolerance)
        assert states[1][regime].cell_offsets.keys() == calibration.cell_offsets.keys()
        for cell, offsets in calibration.cell_offsets.items():
            np.testing.assert_allclose(states[1][regime].cell_offsets[cell], offsets, atol=tolerance)
            assert states[1][regime].cell_factors[cell] == pytest.approx(calibration.cell_factors[cell], rel=tolerance)
    assert len({calibration.offsets.tobytes() for calibration in states[0].values()}) == 3


def test_queries_of_very_many_runs_do_not_square(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = np.array(["often"] * 400 + [f"q{i // 2}" for i in range(100)], dtype=object)
    configs = np.array(["a", "b"] * 250, dtype=object)
    whole, _ = sample_context(queries, configs, np.random.default_rng(0), pilots=True)
    monkeypatch.setattr(context, "PAIRS_AT_MOST", 100)
    target, source = sample_context(queries, configs, np.random.default_rng(0), pilots=True)
    assert len(target) < len(whole) / 5
    assert (queries[target] == queries[source]).all()
    assert len(set(target[target < 400])) > 300
    assert np.bincount(target).max() < context.RUNS_THAT_KNOW


# -- the seam ------------------------------------------------------------------------------------
class Elsewhere:
    """A mapper that remembers what it was given."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, function: Callable[[Any], Any], blocks: Sequence[Any]) -> list[Any]:
        self.names += [getattr(function, "__name__", "")] * len(blocks)
        return [function(block) for block in blocks]


def test_texts_and_held_out_runs_go_where_the_caller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_runs(120, n_replicates=2)
    monkeypatch.setattr(boosting, "BLOCK_ROWS", 40)
    monkeypatch.setattr(features, "TEXTS_AT_ONCE", 25)
    place = Elsewhere()
    with blocks_mapped_by(place):
        ThinkingTokensPredictor(**SMALL).fit(table[INPUTS], table["output_tokens"], groups=table["query_id"])
        assert map_blocks(abs, [-1]) == [1]
    used = Counter(place.names)
    assert used["_embed_block"] > 8  # 120 texts, and 96 of them before
    assert used["_forecast_block"] >= 3
    before = len(place.names)
    assert map_blocks(abs, [-1]) == [1]
    assert len(place.names) == before


def test_rows_are_cut_into_blocks() -> None:
    assert row_slices(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert row_slices(0, 2) == [slice(0, 0)]
    assert row_slices(4, 4) == [slice(0, 4)]
