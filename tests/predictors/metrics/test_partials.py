"""Sums of parts equal the whole: exact sums, estimates and floors, however a table is cut."""

from __future__ import annotations

from dataclasses import astuple
from fractions import Fraction
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predictors.errors import InvalidInputError
from predictors.metrics import crps_floor, mae_floor, mse_floor, partials
from predictors.metrics.clusters import ratio_estimate
from predictors.metrics.partial_floors import PartialFloor, partial_floors
from predictors.metrics.partials import ClusterSums, exact_sum

FLOORS = {"crps": crps_floor, "mae": mae_floor, "mse": mse_floor}
numbers = st.floats(-1e6, 1e6, allow_nan=False, width=64).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=numbers))
def test_exact_sum_is_the_rational_sum(values) -> None:
    expected = sum((Fraction(float(v)) for v in values), Fraction(0))
    scale = sum(abs(float(v)) for v in values)
    assert abs(float(exact_sum(values) - expected)) <= 1e-28 * scale


def test_exact_sum_keeps_what_cancels() -> None:
    assert float(exact_sum(np.array([1e16, 1.0, -1e16, 1e-10]))) == 1.0 + 1e-10


def tables() -> st.SearchStrategy[pd.DataFrame]:
    """Runs of up to 14 queries, some with several cells, cells with 1 to 5 runs; every second table with known
    probabilities, every third where all cells are repeated."""
    return st.builds(_table, st.integers(0, 10_000), st.integers(1, 14), st.sampled_from(["all", "some", "known"]))


def _table(seed: int, n_queries: int, repeats: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for query in range(n_queries):
        for cell in range(rng.integers(1, 3)):
            n = int(rng.integers(2 if seed % 2 else 4, 7) if repeats == "all" else rng.choice([1, 4, 5]))
            level = rng.normal(5, 2)
            noise = rng.choice([0.0, 0.5])
            for run in range(n):
                rows.append((f"q{query}", f"q{query}c{cell}", run, float(np.exp(level + noise * rng.normal()))))
    table = pd.DataFrame(rows, columns=["query_id", "cell_id", "replicate", "value"])
    if repeats == "known":
        table["repeat_prob"] = table["cell_id"].map(lambda c: 0.5 if c.endswith("0") else 0.25)
    return table


def _cut(table: pd.DataFrame, n_parts: int, seed: int) -> list[pd.DataFrame]:
    """Parts of whole queries, in random order, rows shuffled."""
    rng = np.random.default_rng(seed)
    queries = table["query_id"].unique()
    part_of = dict(zip(queries, rng.integers(0, n_parts, len(queries)), strict=True))
    shuffled = table.sample(frac=1, random_state=seed)
    parts = [part for _, part in shuffled.groupby(shuffled["query_id"].map(part_of))]
    return [parts[i] for i in rng.permutation(len(parts))]


def _merged(parts: list[dict[str, PartialFloor]]) -> dict[str, PartialFloor]:
    return reduce(lambda a, b: {m: a[m].merge(b[m]) for m in a}, parts)


@settings(max_examples=60, deadline=None)
@given(table=tables(), n_parts=st.integers(1, 6), seed=st.integers(0, 99), scale=st.sampled_from(["identity", "log"]))
def test_merged_floors_are_those_of_the_whole_table(table, n_parts: int, seed: int, scale) -> None:
    merged = _merged([partial_floors(part, scale) for part in _cut(table, n_parts, seed)])
    several = table[table.groupby("cell_id")["cell_id"].transform("size") >= 2]
    checked = [(merged[metric], of_whole, table) for metric, of_whole in FLOORS.items()]
    if 0 < len(several) < len(table):
        checked += [(part.replicated(), of_whole, several) for part, of_whole, _ in checked]
    for part, of_whole, rows in checked:
        found, expected = part.floor(), of_whole(rows, scale)
        assert found.method == expected.method
        assert (found.n_queries, found.n_replicates) == (expected.n_queries, expected.n_replicates)
        numbers_found, numbers_expected = _floats(found), _floats(expected)
        size = max(np.nanmax(np.abs(numbers_expected), initial=0.0), 1e-300)
        np.testing.assert_allclose(numbers_found, numbers_expected, rtol=1e-9, atol=1e-9 * size)


@settings(max_examples=30, deadline=None)
@given(table=tables(), seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_floors_do_not_depend_on_the_cut_to_the_last_bit(table, seeds) -> None:
    one, other = (_merged([partial_floors(part) for part in _cut(table, 4, seed)]) for seed in seeds)
    for metric in FLOORS:
        assert repr(astuple(one[metric].floor())) == repr(astuple(other[metric].floor()))
        assert one[metric].support == other[metric].support


def _floats(floor) -> list[float]:
    return [floor.value, floor.ci_lower, floor.ci_upper, floor.bracket_lower, floor.bracket_upper]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), n_parts=st.integers(1, 5))
def test_differences_and_ratios_of_estimates_keep_their_covariance(seed: int, n: int, n_parts: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.gamma(2.0, size=n)
    columns = {
        "a": a,
        "b": 0.7 * a + rng.gamma(1.0, size=n),
        "c": rng.gamma(1.0, size=n),
        "n": rng.integers(1, 4, n) * 1.0,
    }
    codes = np.arange(n)
    whole = {name: ratio_estimate(columns[name], columns["n"], codes, n) for name in "abc"}
    places = np.array_split(rng.permutation(n), n_parts)
    parts = [ClusterSums.of({k: v[rows] for k, v in columns.items()}, cubed=tuple(columns)) for rows in places]
    sums = reduce(ClusterSums.merge, parts)
    merged = {name: sums.ratio(name, "n") for name in "abc"}
    pairs = [
        (merged["a"], whole["a"]),
        (merged["b"] - merged["a"], whole["b"] - whole["a"]),
        (
            (merged["b"] - merged["a"]) / (merged["b"] - merged["c"]),
            (whole["b"] - whole["a"]) / (whole["b"] - whole["c"]),
        ),
    ]
    for found, expected in pairs:
        assert found.n_clusters == expected.n_clusters
        for skewed in (False, True):
            ends = found.interval(skew_corrected=skewed), expected.interval(skew_corrected=skewed)
            np.testing.assert_allclose(*ends, rtol=1e-9, atol=1e-9 * abs(expected.value))
        assert found.value == pytest.approx(expected.value, rel=1e-9)


@pytest.mark.parametrize("level", [0.1, 0.3, 1 / 3, 0.7, 1.1, 123.456])
def test_equal_clusters_have_no_error_to_the_last_digits(level: float) -> None:
    # Plain sums of squares, or exact sums of rounded squares, leave 1e-8 of the value here.
    n = 2.0 ** np.random.default_rng(0).integers(0, 6, 1000)
    sums = ClusterSums.of({"x": level * n, "n": n})
    assert sums.ratio("x", "n").standard_error == 0.0
    spread = ClusterSums.of({"x": level + 1e-10 * np.resize([1.0, -1.0], 1000), "n": np.ones(1000)})
    assert spread.ratio("x", "n").standard_error == pytest.approx(1e-10 / np.sqrt(999), rel=1e-3)


def test_more_clusters_than_are_summed_at_once_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=50), "b": rng.normal(size=50)}
    at_once = ClusterSums.of(columns, cubed=["a"])
    monkeypatch.setattr(partials, "CLUSTERS_AT_ONCE", 7)
    piece_by_piece = ClusterSums.of(columns, cubed=["a"])
    assert set(at_once.sums) == {("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "b"), ("a", "a", "a")}
    for names, total in at_once.sums.items():
        products = (np.prod([Fraction(float(columns[name][i])) for name in names]) for i in range(50))
        assert abs(float(total - sum(products))) < 1e-28
        assert abs(float(total - piece_by_piece.sums[names])) < 1e-28


def test_sums_of_other_columns_and_infinite_numbers_are_refused() -> None:
    one = ClusterSums.of({"x": np.ones(2)})
    with pytest.raises(InvalidInputError, match="cannot be merged"):
        one.merge(ClusterSums.of({"y": np.ones(2)}))
    with pytest.raises(InvalidInputError, match="`x` must be finite"):
        ClusterSums.of({"x": np.array([1.0, np.nan])})
    with pytest.raises(InvalidInputError, match="`x` must be finite"):
        ClusterSums.of({"x": np.array([1e200])})
    floors = partial_floors(_table(0, 3, "all"))
    with pytest.raises(InvalidInputError, match="crps and mae"):
        floors["crps"].merge(floors["mae"])


def test_no_denominator_is_no_estimate() -> None:
    estimate = ClusterSums.of({"x": np.ones(3), "n": np.zeros(3)}).ratio("x", "n")
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.interval()).all()
    assert np.isnan((estimate - estimate).value)
