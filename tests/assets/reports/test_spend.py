"""What was spent, by day, project, key and model: adds up, names no key, and stands beside what was quoted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.engine import Table
from foretell.assets.lake.kept_quotes import keep_quote
from foretell.assets.reports.spec import Report
from foretell.assets.reports.spend import SPEC, spend_report
from tests.assets.report_traces import make_traces

DIGEST = "a1b2c3d4e5f6" + "0" * 52
NOON = pd.Timestamp.now("UTC").normalize() + pd.Timedelta(hours=12)


@pytest.fixture
def traces() -> pd.DataFrame:
    """60 queries on three models over two days: two projects, one of them with a named key, and public runs."""
    made = make_traces()
    even = np.arange(len(made)) % 2 == 0
    return made.assign(
        started_at=np.where(even, NOON, NOON + pd.Timedelta(days=1)),
        project=np.where(even, "search", None), key_name=np.where(even, "ci", DIGEST),
        cost_usd=np.where(made["model"] == "listed-low", np.nan, made["output_tokens"].astype("float64") * 1e-4),
        source=np.where(np.arange(len(made)) < 6, "public/x", "litellm"),
    )  # fmt: skip


def quote(home: Path, traces: pd.DataFrame, *, usd: float, file: str) -> None:
    totals = pd.DataFrame(
        {"model": ["dear"], "reasoning_effort": [None], "max_tokens": [np.nan], "n_requests": [60],
         "usd_median": [usd], "usd_lower_90": [usd / 2], "usd_upper_90": [usd * 2], "tokens_median": [1.0],
         "tokens_lower_90": [1.0], "tokens_upper_90": [1.0]}
    )  # fmt: skip
    keep_quote(home, file, totals, traces.drop_duplicates("query_id")[["query_id"]].assign(prompt_text="secret words"))


def test_days_projects_keys_and_models_add_up_to_what_was_paid(traces: pd.DataFrame) -> None:
    report = SPEC.report(traces, None, Path("nowhere"))
    own = traces[traces["source"] == "litellm"]
    table = report.table
    assert table["requests"].sum() == len(own)
    assert table["usd"].sum() == pytest.approx(own["cost_usd"].sum())
    assert set(table["project"]) == {"search", "litellm"}, "without a project a request counts under its source"
    assert set(table["key"]) == {"ci", "a1b2c3d4e5f6"}, "a digest is short, and a null is none of the keys here"
    by_hand = own.assign(day=own["started_at"].dt.strftime("%Y-%m-%d")).groupby(["day", "model"])["cost_usd"].sum()
    pd.testing.assert_series_equal(table.groupby(["day", "model"])["usd"].sum(), by_hand, check_names=False)
    assert table.loc[table["model"] == "listed-low", "unpriced"].sum() == (own["model"] == "listed-low").sum()
    assert table.loc[table["model"] == "listed-low", "usd"].isna().all(), "unknown is not $0"
    assert table["day"].is_monotonic_decreasing, "the newest first"
    assert "listed-low" in report.reasons[0]
    assert report.more["By project and key"]["usd"].is_monotonic_decreasing
    SPEC.draw(report)


def test_what_the_source_reports_counts_where_no_price_is_known(traces: pd.DataFrame) -> None:
    table = spend_report(traces.assign(cost_reported_usd=1.0)).table
    cheap = table[table["model"] == "listed-low"]
    assert (cheap["usd"] == cheap["requests"]).all()
    assert (table["unpriced"] == 0).all()


def test_the_quote_of_a_batch_stands_beside_what_its_requests_came_to(tmp_path: Path, traces: pd.DataFrame) -> None:
    own = traces.assign(source="litellm")
    paid = own.loc[own["model"] == "dear", "cost_usd"].sum()
    quote(tmp_path, own, usd=3.0, file="first.jsonl")
    report = spend_report(own, None, tmp_path)
    dear = report.table[report.table["model"] == "dear"]
    assert dear["quoted_usd"].sum() == pytest.approx(3.0), "the batch ran over two days"
    assert dear["quoted_requests"].tolist() == [30, 30]
    assert dear["paid_for_quoted_usd"].sum() == pytest.approx(paid)
    assert report.table.loc[report.table["model"] != "dear", "quoted_usd"].isna().all()
    assert "60 requests had been quoted at $3.00" in report.findings[-1]
    assert "secret" not in report.table.to_json()

    quote(tmp_path, own, usd=6.0, file="second.jsonl")
    again = spend_report(own, None, tmp_path).table
    assert set(again["quote"].dropna()) <= {"first.jsonl", "second.jsonl"}
    assert again["quoted_requests"].sum() == 60, "a request has one quote"


def test_a_request_counts_for_the_newest_quote_before_it(tmp_path: Path, traces: pd.DataFrame) -> None:
    own = traces.assign(source="litellm")
    hours = {"first": -48, "second": -24, "third": 12}
    for usd, (name, after_noon) in zip((3.0, 6.0, 12.0), hours.items(), strict=True):
        known = set(tmp_path.rglob("*.json"))
        quote(tmp_path, own, usd=usd, file=f"{name}.jsonl")
        (made,) = set(tmp_path.rglob("*.json")) - known
        content = {**json.loads(made.read_text("utf-8")), "made_at": str(NOON + pd.Timedelta(hours=after_noon))}
        made.write_text(json.dumps(content), "utf-8")
    dear = spend_report(own, None, tmp_path).table.set_index("model").loc["dear"].set_index("day")
    first_day, second_day = sorted(dear.index)
    assert dear.loc[first_day, "quote"] == "second.jsonl"
    assert dear.loc[first_day, "quoted_usd"] == pytest.approx(6.0 / 2), "half of the batch"
    assert dear.loc[second_day, "quote"] == "third.jsonl"
    assert dear.loc[second_day, "quoted_usd"] == pytest.approx(12.0 / 2)


def test_days_in_parts_are_the_whole_and_days_of_former_layout_have_no_project(
    tmp_path: Path, traces: pd.DataFrame
) -> None:
    quote(tmp_path, traces, usd=3.0, file="a.jsonl")
    days = [part.reset_index(drop=True) for _, part in traces.groupby("started_at")]
    whole = spend_report(traces, None, tmp_path)
    found = spend_report(Table(tuple(days)), None, tmp_path)
    pd.testing.assert_frame_equal(found.table, whole.table)
    assert (found.findings, found.reasons) == (whole.findings, whole.reasons)

    files = [tmp_path / f"{place}.parquet" for place in range(2)]
    days[0].drop(columns=["project", "key_name"]).to_parquet(files[0])
    days[1].to_parquet(files[1])
    former = spend_report(Table(tuple(map(str, files))), None, tmp_path).table
    assert former["usd"].sum() == pytest.approx(whole.table["usd"].sum())
    first = former[former["day"] == former["day"].min()]
    assert set(first["project"]) == {"litellm"}
    assert set(first["key"]) == {"(none)"}


def test_without_a_request_of_ones_own_it_says_so(traces: pd.DataFrame) -> None:
    report = spend_report(traces.assign(source="public/x"))
    assert report.table.empty
    assert "of your own" in report.reasons[0]
    assert SPEC.draw(report) is None
    assert isinstance(report, Report)
