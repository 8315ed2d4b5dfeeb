"""Reports on prices and passes are the same however the traces are cut, and count a key once."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.engine import Table
from assets.reports import REPORTS
from assets.reports.run_sums import RunSums, run_sums
from tests.assets.report_traces import make_traces, price_file

FIRST_DAY = pd.Timestamp("2026-09-01", tz="UTC").as_unit("us")
ADDED_UP = ("price-reversals", "cost-of-pass", "frontier")


@pytest.fixture(scope="module")
def traces() -> pd.DataFrame:
    made = make_traces(40, n_runs=3)
    lost = np.arange(len(made)) % 11 == 0
    made["reasoning_tokens"] = made["reasoning_tokens"].mask(lost)
    made["is_censored"] = np.arange(len(made)) % 7 == 0
    made["score"] = made["score"].mask(np.arange(len(made)) % 13 == 0)
    made["provider"] = np.where(np.arange(len(made)) % 5 == 3, "another lab", made["provider"])
    return made.assign(started_at=FIRST_DAY)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return price_file(tmp_path_factory.mktemp("prices"))


def cut(traces: pd.DataFrame, n_parts: int, seed: int) -> list[pd.DataFrame]:
    places = np.random.default_rng(seed).integers(0, n_parts, len(traces))
    return [part.reset_index(drop=True) for _, part in traces.groupby(places)]


@settings(max_examples=6, deadline=None)
@given(n_parts=st.integers(1, 6), seed=st.integers(0, 999))
def test_sums_of_parts_are_those_of_the_whole(traces, prices: Path, n_parts: int, seed: int) -> None:
    whole = run_sums(traces, prices)
    merged = reduce(RunSums.merge, [run_sums(part, prices) for part in cut(traces, n_parts, seed)])
    counts = ["runs", "bare_runs", "scored_runs", "thinking", "answer", "passed"]  # whole numbers: to the last bit
    pd.testing.assert_frame_equal(merged.queries[counts], whole.queries[counts], rtol=0, atol=0)
    pd.testing.assert_frame_equal(merged.queries, whole.queries, rtol=1e-12)
    pd.testing.assert_frame_equal(merged.listed, whole.listed)
    pd.testing.assert_frame_equal(merged.models, whole.models, rtol=1e-12)
    assert merged.reasons_scored() == whole.reasons_scored()


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 999))
@pytest.mark.parametrize("name", ADDED_UP)
def test_report_of_parts_is_that_of_the_whole(traces, prices: Path, name: str, seed: int) -> None:
    expected = REPORTS[name].make(traces, prices)
    found = REPORTS[name].make(Table(tuple(cut(traces, 4, seed))), prices)
    assert len(expected.table)
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-9)
    for title, table in expected.more.items():
        pd.testing.assert_frame_equal(found.more[title], table, rtol=1e-9)
    assert (found.findings, found.reasons) == (expected.findings, expected.reasons)


@pytest.mark.parametrize("name", [*ADDED_UP, "thinking-share", "token-noise"])
def test_a_request_that_comes_again_on_another_day_is_paid_once(traces, prices: Path, name: str) -> None:
    later = traces.head(20).assign(started_at=FIRST_DAY + pd.Timedelta(days=2))
    days = Table((traces, later))
    found, expected = REPORTS[name].make(days, prices), REPORTS[name].make(traces, prices)
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-9)


def test_listed_price_is_the_median_over_runs_not_over_prices() -> None:
    counts = (
        pd.DataFrame({"benchmark": "b", "model": "m", "listed_usd_per_mtok": [1.0, 2.0, 9.0], "runs": [1, 2, 1]})
        .assign(scored_runs=[0, 1, 1])
        .set_index(["benchmark", "model", "listed_usd_per_mtok"])
    )
    sums = RunSums(pd.DataFrame(), counts, pd.DataFrame())
    assert sums.listed_prices(["model"]).loc["m"] == np.median([1.0, 2.0, 2.0, 9.0])
    assert sums.listed_prices(["model"], "scored_runs").loc["m"] == np.median([2.0, 9.0])
