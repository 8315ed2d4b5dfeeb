"""The Evaluation table from the sums of parts is `evaluate` of the whole, however whole queries are cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import PartialEvaluation, evaluate, partial_evaluation

NAMES = {"predictor": "p", "family": "f", "dataset": "d", "split": "test"}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
REAL = (
    "crps", "mae", "mse", "coverage_90", "width_90", "interval_score_90", "pinball_25",
    "crps_log", "mae_log", "mse_log", "coverage_50_log",
)  # fmt: skip
BINARY = ("brier", "log_loss")
SEGMENTS = ("benchmark", ("benchmark", "model"), "size", "day")


def tables(seed: int, n_queries: int, repeats: str, *, binary: bool = False) -> tuple[pd.DataFrame, ...]:
    """Runs, forecast and baseline; queries of one to three cells, segment columns with nulls of several dtypes."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(n_queries), rng.integers(1, 4, n_queries))
    n_cells = query.size
    runs = {
        "none": np.ones(n_cells),
        "all": rng.choice([2, 3, 5], n_cells),
        "many": rng.choice([12, 13], n_cells),
    }.get(repeats, rng.choice([1, 1, 4, 12], n_cells))
    cell = np.repeat(np.arange(n_cells), runs.astype(int))
    centre = rng.normal(3, 1, n_cells)
    value = np.exp(centre[cell] + rng.normal(0, 0.5, cell.size))
    outcomes = pd.DataFrame(
        {
            "cell_id": [f"c{i}" for i in cell],
            "query_id": query[cell],
            "value": (value > 20).astype(float) if binary else value,
            "benchmark": rng.choice(["aime", "gpqa", "zebra"], n_queries)[query[cell]],
            "model": np.where(cell % 3 == 0, "x", None),
            "size": pd.Categorical.from_codes(query[cell] % 3 - 1, ["small", "large"]),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(query[cell] % 4, unit="D"),
            "split": "test",
        }
    )
    outcomes["replicate"] = outcomes.groupby("cell_id").cumcount()
    if repeats == "drawn alike":
        outcomes["repeat_prob"] = 0.5
    if repeats == "drawn unlike":
        outcomes["repeat_prob"] = np.where(cell % 2 == 0, 0.5, 0.25)
    if repeats == "not all known":
        outcomes["repeat_prob"] = np.where(cell % 5 == 0, np.nan, 0.25)
    ids = pd.Index([f"c{i}" for i in range(n_cells)], name="cell_id")
    z = stats.norm.ppf(LEVELS)
    spread = 0.1 if binary else 1.0
    forecast = np.exp(spread * (rng.normal(3, 1, (n_cells, 1)) + z) - (3 if binary else 0))
    baseline = np.exp(spread * (3 + 1.2 * np.tile(z, (n_cells, 1))) - (3 if binary else 0))
    return outcomes, *(pd.DataFrame(q, index=ids, columns=list(LEVELS)) for q in (forecast, baseline))


def cut(outcomes: pd.DataFrame, n_parts: int, seed: int, *, shuffle: bool = True) -> list[pd.DataFrame]:
    """Parts of whole queries drawn at random, in random order, their rows shuffled unless told otherwise."""
    rng = np.random.default_rng(seed)
    queries = outcomes["query_id"].unique()
    places = dict(zip(queries, rng.integers(0, n_parts, len(queries)), strict=True))
    shuffled = outcomes.sample(frac=1, random_state=seed) if shuffle else outcomes
    parts = [part for _, part in shuffled.groupby(shuffled["query_id"].map(places))]
    return [parts[place] for place in rng.permutation(len(parts))]


def merged(parts: Sequence[PartialEvaluation]) -> PartialEvaluation:
    return reduce(PartialEvaluation.merge, parts)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same text and counts, and numbers to 1e-9 of what stands in their row."""
    numbers = list(expected.select_dtypes("float").columns)
    pd.testing.assert_frame_equal(found.drop(columns=numbers), expected.drop(columns=numbers))
    a, b = found[numbers].to_numpy(), expected[numbers].to_numpy()
    assert (np.isnan(a) == np.isnan(b)).all()
    size = np.maximum(np.nanmax(np.abs(b), axis=1, keepdims=True), 1e-12)
    np.testing.assert_array_less(np.nan_to_num(np.abs(a - b) / size), 1e-9)


REPEATS = ("none", "all", "many", "some", "drawn alike", "drawn unlike", "not all known")


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_queries=st.integers(1, 25),
    repeats=st.sampled_from(REPEATS),
    metrics=st.one_of(st.lists(st.sampled_from(REAL), min_size=1, max_size=3, unique=True), st.just(list(BINARY))),
    segments=st.lists(st.sampled_from(SEGMENTS), max_size=2, unique=True),
    scale=st.sampled_from(["identity", "log"]),
    with_baseline=st.booleans(),
    n_parts=st.integers(1, 5),
)
def test_merged_parts_are_the_evaluation_of_the_whole(
    seed, n_queries, repeats, metrics, segments, scale, with_baseline, n_parts
) -> None:
    is_binary = metrics == list(BINARY)
    outcomes, forecast, baseline = tables(seed, n_queries, repeats, binary=is_binary)
    options = {
        "baseline": baseline if with_baseline else None,
        "scale": "identity" if is_binary else scale,
        "metrics": metrics,
        "segments": segments,
    }
    found = merged([partial_evaluation(part, forecast, **options) for part in cut(outcomes, n_parts, seed)])
    assert_same(found.table(**NAMES), evaluate(outcomes, forecast, **NAMES, **options))


@pytest.mark.parametrize("repeats", REPEATS)
def test_every_kind_of_repeats_comes_with_floors_and_notes(repeats: str) -> None:
    # The property above draws; here every kind is certain to be seen, at a size where skill is there.
    outcomes, forecast, baseline = tables(7, 150, repeats)
    options = {"baseline": baseline, "metrics": REAL, "segments": ["benchmark"]}
    whole = evaluate(outcomes, forecast, baseline_name="one number", **NAMES, **options)
    parts = [partial_evaluation(part, forecast, **options) for part in cut(outcomes, 3, 1)]
    assert_same(merged(parts).table(**NAMES, baseline_name="one number"), whole)
    all_crps = whole[(whole["segment"] == "all") & (whole["metric"] == "crps")].iloc[0]
    assert all_crps["floor_source"].split(":")[0] == {
        "none": "none", "some": "none", "not all known": "none", "drawn unlike": "ipw",
    }.get(repeats, "repeats")  # fmt: skip
    assert whole["segment"].str.endswith(",replicated").any() == (repeats not in ("none", "all", "many"))
    assert whole["skill"].notna().any() == (repeats != "none")


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_the_cut_and_the_order_of_merging_change_no_bit(seed: int, cuts: tuple[int, int]) -> None:
    # Where rows keep their order: the few cells of one query are added as doubles, in the order of their rows.
    outcomes, forecast, baseline = tables(seed, 30, "drawn unlike")
    found = []
    for s in cuts:
        parts = cut(outcomes, 4, s, shuffle=False)
        each = [partial_evaluation(part, forecast, baseline=baseline, segments=["size"]) for part in parts]
        found.append(merged(each).table(**NAMES))
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_coverage_that_is_equal_in_every_query_has_the_interval_of_so_few_queries() -> None:
    # Each query is covered in two of three cells: a standard error of 0, which doubles miss by a rounding.
    outcomes = pd.DataFrame({"query_id": list("aaabbb"), "cell_id": list("123456"), "value": [1.0, 1.0, 9.0] * 2})
    forecast = pd.DataFrame({0.05: 0.0, 0.95: 2.0}, index=list("123456"))
    row = evaluate(outcomes, forecast, **NAMES, metrics=["coverage_90"]).iloc[0]
    assert row["value"] == pytest.approx(2 / 3)
    assert row["ci_lower"] < 0.01
    assert row["ci_upper"] > 0.99


def test_two_queries_by_hand() -> None:
    # One forecast at 2 for all; query a in two cells with losses (1 + 1) / 2 and 2, query b with loss 3.
    outcomes = pd.DataFrame(
        {
            "query_id": ["a", "a", "a", "b"],
            "cell_id": ["a1", "a1", "a2", "b1"],
            "value": [1.0, 3.0, 4.0, 5.0],
            "model": ["x", "x", "y", "y"],
        }
    )
    at_two = pd.DataFrame({0.5: 2.0}, index=["a1", "a2", "b1"])
    at_four = pd.DataFrame({0.5: 4.0}, index=["a1", "a2", "b1"])
    parts = [
        partial_evaluation(rows, at_two, baseline=at_four, metrics=["mae"], segments=["model"])
        for _, rows in outcomes.groupby("query_id")
    ]
    table = merged(parts).table(**NAMES).set_index("segment")
    assert list(table.index) == ["all", "all,replicated", "model=x", "model=y"]
    row = table.loc["all"]
    assert (row["value"], row["n_queries"], row["n_replicates"]) == (2.0, 2, 4)
    # Losses above the mean: -1 of query a (two cells, 3 in sum), +1 of b; over 3 cells, times n / (n - 1).
    error = np.sqrt(2 * ((1 / 3) ** 2 + (1 / 3) ** 2))
    assert row["ci_upper"] == pytest.approx(2 + stats.t.ppf(0.975, 1) * error, rel=1e-12)
    # The baseline loses (3 + 1) / 2, 0 and 1.
    assert (row["baseline_value"], row["gain"]) == (1.0, -1.0)
    assert table.loc["model=y", "value"] == 2.5
    assert table.loc["model=x", "n_queries"] == 1
    assert np.isnan(table.loc["model=x", "ci_lower"])


class TestRefusals:
    outcomes, forecast, baseline = tables(3, 20, "all")

    def parts(self, outcomes: pd.DataFrame | None = None, **options: object) -> list[PartialEvaluation]:
        rows = self.outcomes if outcomes is None else outcomes
        first = rows["query_id"] < 10
        return [partial_evaluation(part, self.forecast, **options) for part in (rows[first], rows[~first])]

    def test_splits(self) -> None:
        both = self.outcomes.assign(split=np.where(self.outcomes["query_id"] < 10, "test", "train"))
        with pytest.raises(InvalidInputError, match="rows of the splits \\['train'\\]"):
            merged(self.parts(both)).table(**NAMES)
        straddling = self.outcomes.assign(split=["test", *["train"] * (len(self.outcomes) - 1)])
        with pytest.raises(InvalidInputError, match="more than one `split`"):
            self.parts(straddling)

    def test_parts_that_were_evaluated_differently(self) -> None:
        plain = self.parts()[0]
        for options in ({"metrics": ["mae"]}, {"scale": "log"}, {"segments": ["model"]}, {"baseline": self.baseline}):
            with pytest.raises(InvalidInputError, match="same metrics, scale, baseline and segments"):
                plain.merge(self.parts(**options)[1])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_numbers_that_are_not_there(self, bad: float) -> None:
        first = self.outcomes.index == 0
        with pytest.raises(InvalidInputError, match="must be finite"):
            self.parts(self.outcomes.assign(value=self.outcomes["value"].mask(first, bad)))
        with pytest.raises(InvalidInputError, match="`baseline` must be finite"):
            self.parts(baseline=self.baseline.replace(self.baseline.iloc[0, 0], bad))

    def test_what_evaluate_refuses_in_one_part(self) -> None:
        crossing = self.forecast.set_axis(self.forecast.columns, axis=1).iloc[:, ::-1].set_axis(list(LEVELS), axis=1)
        with pytest.raises(InvalidInputError, match="crossing"):
            partial_evaluation(self.outcomes, crossing)
        for options, match in (
            ({"metrics": ["crps", "crps"]}, "different names"),
            ({"segments": ["nothing"]}, "segment columns"),
            ({"segments": ["replicate"]}, "same in all runs"),
        ):
            with pytest.raises(InvalidInputError, match=match):
                self.parts(**options)
        with pytest.raises(InvalidInputError, match="1 runs twice"):
            self.parts(pd.concat([self.outcomes, self.outcomes.iloc[:1]]))


def test_segments_of_later_parts_find_their_place() -> None:
    outcomes, forecast, _ = tables(5, 40, "all")
    whole = evaluate(outcomes, forecast, **NAMES, metrics=["crps"], segments=SEGMENTS)
    by_benchmark = [part for _, part in outcomes.groupby("benchmark")]
    parts = [partial_evaluation(part, forecast, metrics=["crps"], segments=SEGMENTS) for part in by_benchmark]
    for order in permutations(parts):
        assert_same(merged(order).table(**NAMES), whole)
    # Categories keep their order, not that of the alphabet, and null comes last.
    sizes = [name for name in whole["segment"] if name.startswith("size=")]
    assert sizes == ["size=small", "size=large", "size=null"]
