"""Quotes are kept and judged by what their batch came to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.lake.kept_quotes import keep_quote
from foretell.assets.reports.quotes import SPEC, quotes_report
from tests.assets.report_traces import make_traces

NOW = pd.Timestamp.now("UTC").tz_convert("UTC")


def a_quote(home: Path, traces: pd.DataFrame, *, median: float, stage: str = "forecast", file: str = "a.jsonl") -> None:
    totals = pd.DataFrame(
        {
            "stage": [stage], "model": ["dear"], "reasoning_effort": [None], "max_tokens": [np.nan], "n_requests": [60],
            "usd_median": [median], "usd_lower_90": [median / 2], "usd_upper_90": [median * 2],
            "tokens_median": [1.0], "tokens_lower_90": [1.0], "tokens_upper_90": [1.0],
        }
    )  # fmt: skip
    requests = traces.drop_duplicates("query_id")[["query_id"]].assign(prompt_text="secret words")
    keep_quote(home, file, totals, requests)


@pytest.fixture
def traces() -> pd.DataFrame:
    made = make_traces()
    return made.assign(
        started_at=NOW + pd.Timedelta(hours=1), cost_usd=made["output_tokens"] * 1e-4, reasoning_effort=None
    )


def test_a_quote_waits_until_its_batch_has_run(tmp_path: Path, traces: pd.DataFrame) -> None:
    a_quote(tmp_path, traces, median=1.0)
    half = traces[traces["query_id"].isin(traces["query_id"].unique()[:30])]
    report = quotes_report(half, None, tmp_path)
    row = report.table.iloc[0]
    assert (row["share_run"], row["is_inside"]) == (0.5, None)
    assert "1 of 1 quotes wait" in report.reasons[0]


def test_quotes_are_judged_by_the_bill_of_their_queries(tmp_path: Path, traces: pd.DataFrame) -> None:
    paid = float(traces.loc[traces["model"] == "dear", "cost_usd"].sum())
    a_quote(tmp_path, traces, median=paid * 1.2)
    a_quote(tmp_path, traces, median=paid * 5, file="b.jsonl")
    report = SPEC.report(traces, None, tmp_path)
    assert report.table["actual"].tolist() == pytest.approx([paid, paid])
    assert sorted(report.table["is_inside"]) == [False, True]
    assert "50 % of 2 quotes held" in report.findings[0]
    assert report.more["Quotes over time"]["bias"][0] == pytest.approx(np.exp(np.log(1 / (1.2 * 5)) / 2))
    SPEC.draw(report)


def test_old_runs_of_the_same_queries_are_none_of_the_batch(tmp_path: Path, traces: pd.DataFrame) -> None:
    old = traces.assign(started_at=NOW - pd.Timedelta(days=90), cost_usd=100.0)
    a_quote(tmp_path, traces, median=1.0)
    assert np.isnan(quotes_report(old, None, tmp_path).table["actual"][0])
    both = quotes_report(pd.concat([old, traces]), None, tmp_path).table
    assert both["actual"][0] == pytest.approx(traces.loc[traces["model"] == "dear", "cost_usd"].sum())


def test_no_text_is_kept_and_without_quotes_the_report_says_so(tmp_path: Path, traces: pd.DataFrame) -> None:
    assert "No quote is kept yet" in quotes_report(traces, None, tmp_path).reasons[0]
    a_quote(tmp_path, traces, median=1.0)
    (file,) = (tmp_path / "quotes").iterdir()
    assert "secret" not in file.read_text("utf-8")
