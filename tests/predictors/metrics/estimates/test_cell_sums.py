"""Floors from sums over queries: by influence values of the whole table, however whole queries are cut into parts."""

from __future__ import annotations

from dataclasses import astuple
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import (
    CRPS_FLOOR,
    MAE_FLOOR,
    MSE_FLOOR,
    CellSums,
    NoiseFloor,
    floor_sums,
    group_replicates,
    mean_estimate,
    noise_floor,
)

ESTIMATORS = {"crps": CRPS_FLOOR, "mae": MAE_FLOOR, "mse": MSE_FLOOR}


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


def _merged(parts: list[pd.DataFrame], scale: str = "identity") -> dict[str, CellSums]:
    laid_out = [group_replicates(part, scale) for part in parts]
    return {
        name: reduce(CellSums.merge, [floor_sums(runs, estimator) for runs in laid_out])
        for name, estimator in ESTIMATORS.items()
    }


def by_influence(table: pd.DataFrame, name: str, scale: str) -> tuple[list[float], int, int]:
    """The floor and its interval by a second definition, with the queries and runs that it rests on."""
    runs, estimator = group_replicates(table, scale), ESTIMATORS[name]
    per_cell, repeated = estimator.per_cell(runs), runs.counts >= 2
    weights = np.where(repeated, 1.0, 0.0)
    if not repeated.all():
        weights = weights / runs.repeat_prob
    used = weights > 0
    mean = mean_estimate(per_cell, runs.query, runs.n_queries, weights)
    numbers = [mean.value, *mean.interval(skew_corrected=estimator.skewed)]
    return numbers, len(np.unique(runs.query[used])), int(runs.counts[used].sum())


@settings(max_examples=25, deadline=None)
@given(table=tables(), n_parts=st.integers(1, 6), seed=st.integers(0, 99), scale=st.sampled_from(["identity", "log"]))
def test_merged_floors_are_those_of_the_whole_table(table, n_parts: int, seed: int, scale) -> None:
    merged = _merged(_cut(table, n_parts, seed), scale)
    several = table[table.groupby("cell_id")["cell_id"].transform("size") >= 2]
    checked = [(merged[name], name, table) for name in ESTIMATORS]
    if 0 < len(several) < len(table):
        checked += [(sums.replicated(), name, several) for sums, name, _ in checked]
    for sums, name, rows in checked:
        floor = noise_floor(sums, ESTIMATORS[name], name)
        whole = floor_sums(group_replicates(rows, scale), ESTIMATORS[name])
        of_table = noise_floor(whole, ESTIMATORS[name], name)
        assert (floor.method, floor.n_queries) == (of_table.method, of_table.n_queries)
        if floor.method.startswith("none"):
            assert np.isnan(_floats(floor)).all()
            assert floor.n_replicates == len(rows)
            continue
        expected, n_queries, n_runs = by_influence(rows, name, scale)
        assert (floor.n_queries, floor.n_replicates) == (n_queries, n_runs)
        size = max(np.nanmax(np.abs(expected), initial=0.0), 1e-300)
        for numbers in (_floats(floor), _floats(of_table)):
            np.testing.assert_allclose(numbers, expected, rtol=1e-9, atol=1e-9 * size)


@settings(max_examples=12, deadline=None)
@given(table=tables(), seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_floors_do_not_depend_on_the_cut_to_the_last_bit(table, seeds) -> None:
    one, other = (_merged(_cut(table, 4, seed)) for seed in seeds)
    for name, estimator in ESTIMATORS.items():
        floors = [noise_floor(sums[name], estimator, name) for sums in (one, other)]
        assert repr(astuple(floors[0])) == repr(astuple(floors[1]))
        assert one[name].support == other[name].support


def test_sums_of_different_floors_are_not_merged() -> None:
    sums = _merged([_table(0, 3, "all")])
    with pytest.raises(InvalidInputError, match="cannot be merged"):
        sums["crps"].merge(sums["mse"])


def _floats(floor: NoiseFloor) -> list[float]:
    return [floor.value, floor.ci_lower, floor.ci_upper]
