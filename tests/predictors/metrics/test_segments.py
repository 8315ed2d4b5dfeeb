"""Of many segments those with most runs are told, ties by name; the others add up to one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.metrics import evaluate, partial_evaluation, segments
from foretell.predictors.metrics.segments import Pooled, places_by_segment, segment_name, told_of

NAMES = {"predictor": "p", "family": "f", "dataset": "d", "split": "s"}


def runs_of(counts: dict[str, int]) -> pd.DataFrame:
    """So many runs of each model, each a query of its own, of value 1, 2, ..."""
    models = [model for model, n in counts.items() for _ in range(n)]
    ids = [f"q{i}" for i in range(len(models))]
    return pd.DataFrame({"cell_id": ids, "query_id": ids, "value": np.arange(1.0, len(ids) + 1), "model": models})


def judged(runs: pd.DataFrame, by: list[str | tuple[str, ...]]) -> pd.DataFrame:
    forecast = pd.DataFrame({0.5: 0.0}, index=runs["cell_id"])
    return evaluate(runs, forecast, metrics=("mae",), segments=by, **NAMES).set_index("segment")


def test_counts_and_errors_of_the_others_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 3)
    table = judged(runs_of({"d": 2, "a": 5, "c": 2, "b": 2, "e": 1}), ["model"])
    # b, c and d have two runs each: the first by name are told.
    assert list(table.index) == ["all", "model=a", "model=b", "model=c", "model: others"]
    rows, whole = table.drop(index="all"), table.loc["all"]
    assert rows["n_queries"].sum() == whole["n_queries"] == 12
    assert (rows["value"] * rows["n_queries"]).sum() == pytest.approx(12 * whole["value"])
    assert table.loc["model: others", "value"] == pytest.approx((1 + 2 + 12) / 3)  # runs of d and e


def test_at_the_bound_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of({"a": 2, "b": 3, "c": 1})
    before = judged(runs, ["model"])
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 3)
    pd.testing.assert_frame_equal(judged(runs, ["model"]), before)


def test_several_columns_at_once_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 2)
    runs = runs_of({"a": 3, "b": 3}).assign(benchmark=["x", "x", None, "x", "y", "y"])
    table = judged(runs, ["model", ("model", "benchmark")])
    assert list(table.index) == ["all", "model=a", "model=b", "model=a,benchmark=x", "model=b,benchmark=y",
                                 "model,benchmark: others"]  # fmt: skip


def test_a_null_value_counts_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 1)
    runs = runs_of({"a": 1, "b": 4}).replace({"model": {"b": None}})
    assert list(judged(runs, ["model"]).index) == ["all", "model=null", "model: others"]


def test_no_name_of_a_model_is_taken_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 1)
    for name in ("others", ": others", "(others)"):
        table = judged(runs_of({name: 2, "b": 1}), ["model"])
        assert list(table.index) == ["all", f"model={name}", "model: others"]
        assert table.index.is_unique


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y", None])), min_size=1), st.integers(1, 6)
)
def test_places_are_a_partition_that_keeps_the_most_frequent(pairs: list[tuple[str, str | None]], most: int) -> None:
    rows = pd.DataFrame(pairs, columns=["model", "benchmark"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MOST_SEGMENTS", most)
        for names in (("model",), ("model", "benchmark")):
            places = places_by_segment(rows, (names,), told_of(rows, [names]))
            parts = {segment: at for segment, at in places.items() if segment}
            assert sorted(np.concatenate(list(parts.values()))) == list(range(len(rows)))
            sizes = {segment: len(at) for segment, at in parts.items() if segment[0][1] is not Pooled.OTHERS}
            expected = rows.fillna({"benchmark": "null"}).groupby(list(names)).size()
            assert sorted(sizes.values(), reverse=True) == sorted(expected, reverse=True)[:most]
            assert len({segment_name(segment) for segment in places}) == len(places)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 99), st.integers(1, 4))
def test_parts_tell_the_segments_of_the_whole(seed: int, n_parts: int) -> None:
    rng = np.random.default_rng(seed)
    runs = runs_of({f"m{i}": int(rng.integers(1, 5)) for i in range(9)})
    forecast = pd.DataFrame({0.5: 0.0}, index=runs["cell_id"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MOST_SEGMENTS", 4)
        told = told_of(runs, ["model"])
        terms = {"metrics": ("mae",), "segments": ["model"], "told": told}
        parts = [partial_evaluation(part, forecast, **terms) for _, part in
                 runs.groupby(rng.integers(0, n_parts, len(runs)))]  # fmt: skip
        merged = parts[0]
        for part in parts[1:]:
            merged = merged.merge(part)
        pd.testing.assert_frame_equal(merged.table(**NAMES).set_index("segment"), judged(runs, ["model"]), rtol=1e-9)
