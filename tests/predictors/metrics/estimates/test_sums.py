"""Sums of parts equal the whole: exact sums and estimates, however clusters are cut."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics.estimates import sums as partials
from foretell.predictors.metrics.estimates.clusters import ratio_estimate
from foretell.predictors.metrics.estimates.sums import ClusterSums, cluster_sums

numbers = st.floats(-1e6, 1e6, allow_nan=False, width=64).filter(lambda x: x == 0 or abs(x) > 1e-6)


def exact_sum(values: np.ndarray) -> Fraction:
    return ClusterSums.of({"column": values}).sums[("column",)]


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=numbers))
def test_sums_are_the_rational_ones(values) -> None:
    expected = sum((Fraction(float(v)) for v in values), Fraction(0))
    scale = sum(abs(float(v)) for v in values)
    assert abs(float(exact_sum(values) - expected)) <= 1e-28 * scale


def test_sums_keep_what_cancels() -> None:
    assert float(exact_sum(np.array([1e16, 1.0, -1e16, 1e-10]))) == 1.0 + 1e-10


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


def test_sums_of_several_tables_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(1)
    a, b, nothing = rng.normal(size=50), rng.normal(size=50), np.zeros(50)
    requests = [({"x": a, "y": b}, ["x"]), ({"y": a, "x": b, "z": nothing}, []), ({"x": a}, ["x"])]
    for together, (columns, cubed) in zip(cluster_sums(requests), requests, strict=True):
        assert together == ClusterSums.of(columns, cubed=cubed)


def test_sums_of_other_columns_and_infinite_numbers_are_refused() -> None:
    one = ClusterSums.of({"x": np.ones(2)})
    with pytest.raises(InvalidInputError, match="cannot be merged"):
        one.merge(ClusterSums.of({"y": np.ones(2)}))
    with pytest.raises(InvalidInputError, match="`x` must be finite"):
        ClusterSums.of({"x": np.array([1.0, np.nan])})
    with pytest.raises(InvalidInputError, match="`x` must be finite"):
        ClusterSums.of({"x": np.array([1e200])})


def test_no_denominator_is_no_estimate() -> None:
    estimate = ClusterSums.of({"x": np.ones(3), "n": np.zeros(3)}).ratio("x", "n")
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.interval()).all()
    assert np.isnan((estimate - estimate).value)
