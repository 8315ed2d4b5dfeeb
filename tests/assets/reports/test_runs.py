"""Every report is the same however the traces are cut, and counts a key once; what is drawn are whole queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.engine import Table
from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.lake.tables.curation import curate_table
from foretell.assets.reports import REPORTS, Report
from foretell.assets.reports.data_docs import data_docs, write_data_docs
from foretell.assets.reports.routing import routing_report
from foretell.assets.reports.runs import TracePart, draw_queries, priced_runs, scored_runs
from foretell.assets.resources import Workspace
from foretell.predictors.errors import DatasetError
from tests.assets.report_traces import make_traces, price_file

FIRST_DAY = pd.Timestamp("2026-09-01", tz="UTC").as_unit("us")
ADDED_UP = [name for name in REPORTS if name not in ("routing", "cascade", "quotes")]
"""Quotes rest on what was kept, not on runs; routers are judged below."""


@pytest.fixture(scope="module")
def traces() -> pd.DataFrame:
    made = make_traces(40, n_runs=3)
    lost = np.arange(len(made)) % 11 == 0
    made["reasoning_tokens"] = made["reasoning_tokens"].mask(lost)
    made["is_censored"] = np.arange(len(made)) % 7 == 0
    made["score"] = made["score"].mask(np.arange(len(made)) % 13 == 0)
    made["reasoning_effort"] = np.where(np.arange(len(made)) % 2, "high", None)
    made["provider"] = np.where(np.arange(len(made)) % 5 == 3, "another lab", made["provider"])
    return made.assign(started_at=FIRST_DAY)


@pytest.fixture(scope="module")
def many_queries() -> pd.DataFrame:
    """Enough to learn a router from and to judge it."""
    return make_traces(300).assign(started_at=FIRST_DAY)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return price_file(tmp_path_factory.mktemp("prices"))


def cut(traces: pd.DataFrame, n_parts: int, seed: int) -> list[pd.DataFrame]:
    places = np.random.default_rng(seed).integers(0, n_parts, len(traces))
    return [part.reset_index(drop=True) for _, part in traces.groupby(places)]


@settings(max_examples=6, deadline=None)
@given(n_parts=st.integers(1, 6), seed=st.integers(0, 999))
def test_runs_that_are_priced_in_parts_are_those_of_the_whole(traces, prices: Path, n_parts: int, seed: int) -> None:
    whole, reasons = scored_runs(traces, prices)
    found, found_reasons = scored_runs(Table(tuple(cut(traces, n_parts, seed))), prices)
    pd.testing.assert_frame_equal(found, whole, rtol=0, atol=0)
    assert found_reasons == reasons
    assert "prompt_text" not in whole


def assert_same(found: Report, expected: Report) -> None:
    assert len(expected.table)
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-9)
    whole = expected.table.select_dtypes("int64").columns
    pd.testing.assert_frame_equal(found.table[whole], expected.table[whole])
    assert list(found.more) == list(expected.more)
    for title, table in expected.more.items():
        pd.testing.assert_frame_equal(found.more[title], table, rtol=1e-9)
    assert (found.findings, found.reasons) == (expected.findings, expected.reasons)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 999))
@pytest.mark.parametrize("name", ADDED_UP)
def test_report_of_parts_is_that_of_the_whole(traces, prices: Path, name: str, seed: int) -> None:
    parts = Table(tuple(cut(traces, 4, seed)))
    assert_same(REPORTS[name].make(parts, prices), REPORTS[name].make(traces, prices))


def test_a_router_learnt_from_parts_is_that_of_the_whole(many_queries, prices: Path) -> None:
    parts = Table(tuple(cut(many_queries, 3, 0)))
    assert_same(routing_report(parts, prices), routing_report(many_queries, prices))


@pytest.mark.parametrize("name", ADDED_UP)
def test_a_request_that_comes_again_on_another_day_is_paid_once(traces, prices: Path, name: str) -> None:
    later = traces.head(20).assign(started_at=FIRST_DAY + pd.Timedelta(days=2))
    days = Table((traces, later))
    assert_same(REPORTS[name].make(days, prices), REPORTS[name].make(traces, prices))


def test_a_request_that_comes_again_teaches_the_router_once(many_queries, prices: Path) -> None:
    # Another score, so that it would show.
    later = many_queries.head(200).assign(started_at=FIRST_DAY + pd.Timedelta(days=2), score=0.0)
    found = routing_report(Table((many_queries, later)), prices)
    assert_same(found, routing_report(many_queries, prices))


def test_prices_rest_on_whole_queries_that_are_drawn_and_say_so(traces, prices: Path) -> None:
    drawn = draw_queries(traces, list(traces.columns), max_rows=len(traces) // 2)
    assert 0 < len(drawn.rows) < len(traces)
    found, reasons = priced_runs(Table(tuple(cut(traces, 3, 0))), prices, max_rows=len(traces) // 2)
    expected, reasons_of_drawn = priced_runs(drawn.rows, prices)
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=0)
    assert reasons == [*drawn.reasons(), *reasons_of_drawn]
    assert len(drawn.reasons()) == 1


@pytest.mark.parametrize("name", ["thinking-share", "token-noise"])
def test_reports_of_many_runs_rest_on_drawn_queries_and_say_so(
    traces, prices: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = draw_queries(traces, list(traces.columns), max_rows=len(traces) // 2)
    expected = REPORTS[name].make(drawn.rows, prices)
    monkeypatch.setitem(draw_queries.__kwdefaults__, "max_rows", len(traces) // 2)
    found = REPORTS[name].make(Table(tuple(cut(traces, 4, 1))), prices)
    assert_same(found, replace(expected, reasons=(*drawn.reasons(), *expected.reasons)))


# -- what is drawn -------------------------------------------------------------------------------------
@settings(max_examples=10, deadline=None)
@given(n_parts=st.integers(1, 5), seed=st.integers(0, 999), max_rows=st.integers(1, 400))
def test_whole_queries_are_drawn_the_same_however_they_are_cut(traces, n_parts: int, seed: int, max_rows: int) -> None:
    asked = ["model", "request_id", "query_id"]
    drawn = draw_queries(Table(tuple(cut(traces, n_parts, seed))), asked, max_rows=max_rows)
    assert drawn.n_there == len(traces)
    theirs = traces["query_id"].isin(set(drawn.rows["query_id"]))
    assert set(drawn.rows["request_id"]) == set(traces.loc[theirs, "request_id"])
    assert len(drawn.rows) == theirs.sum()
    pd.testing.assert_frame_equal(drawn.rows, draw_queries(traces, asked, max_rows=max_rows).rows)
    assert (drawn.reasons() == []) == (len(drawn.rows) == len(traces))


def test_about_as_many_are_drawn_as_are_wanted_and_all_where_there_are_fewer() -> None:
    traces = make_traces(2000)
    drawn = draw_queries(traces, ["model"], max_rows=1500)
    # 2000 queries at a chance of a quarter: 19 queries of three runs are one standard deviation.
    assert 1500 - 4 * 58 < len(drawn.rows) < 1500 + 4 * 58
    assert drawn.reasons()[0].startswith(f"Drawn are {len(drawn.rows):,} of 6,000 requests")
    assert len(draw_queries(traces, ["model"], max_rows=6000).rows) == 6000


def written(traces: pd.DataFrame, folder: Path, n_parts: int = 3) -> Table:
    folder.mkdir(exist_ok=True)
    for place, part in enumerate(cut(traces, n_parts, 0)):
        part.to_parquet(folder / f"{place}.parquet", index=False)
    return Table.under(folder)


def test_queries_are_numbered_in_the_order_of_their_ids(traces, tmp_path: Path) -> None:
    table = written(traces, tmp_path)
    named, numbered = (draw_queries(table, [*more, "model"], max_rows=200).rows for more in (["query_id"], []))
    ids = sorted(set(named["query_id"]))
    assert numbered["query_id"].tolist() == [ids.index(name) for name in named["query_id"]]
    assert numbered["model"].tolist() == named["model"].tolist()


def test_a_day_that_is_written_anew_is_drawn_anew(traces, tmp_path: Path) -> None:
    before = draw_queries(written(traces, tmp_path), ["request_id"])
    table = written(traces[traces["query_id"] != "q3"], tmp_path)
    after = draw_queries(table, ["request_id"])
    assert after.n_there == len(after.rows) == before.n_there - (traces["query_id"] == "q3").sum()
    again = traces.head(5).assign(started_at=FIRST_DAY + pd.Timedelta(days=1))
    again.to_parquet(tmp_path / "9.parquet", index=False)
    assert draw_queries(Table.under(tmp_path), ["request_id"]).n_there == after.n_there  # keys are looked at anew


def test_a_day_that_is_written_anew_while_it_is_read_is_told(traces, tmp_path: Path) -> None:
    table = written(traces, tmp_path)

    def reading(part: TracePart, columns: Sequence[str]) -> pd.DataFrame:
        frame = part.read(columns)
        written(traces.head(50), tmp_path)
        return frame

    with pytest.raises(DatasetError, match="written anew while they were read"):
        draw_queries(table, ["model"], made=reading)


def test_texts_are_read_only_where_input_is_not_counted(traces, prices: Path, tmp_path: Path) -> None:
    lost = traces["query_id"] == "q3"
    some = traces.assign(input_tokens=traces["input_tokens"].mask(lost))
    for name, without in (("counted", []), ("not", ["prompt_text"])):
        table = written((some if not without else some[~lost]).drop(columns=without), tmp_path / name)
        found, reasons = priced_runs(table, prices)
        assert len(found) == table.n_rows
        assert any("estimated as a quarter" in reason for reason in reasons) == (not without)


def test_a_router_that_learns_from_a_draw_says_so_and_judges_drawn_queries_only(prices: Path) -> None:
    traces = make_traces(700)
    found = routing_report(Table(tuple(cut(traces, 2, 0))), prices, max_rows=1400)
    drawn = draw_queries(traces, list(traces.columns), max_rows=1400)
    expected = routing_report(drawn.rows, prices)
    assert 900 < len(drawn.rows) < 1900
    assert_same(found, replace(expected, reasons=(*drawn.reasons(), *expected.reasons)))


@pytest.mark.slow  # Great Expectations takes seconds to import
def test_data_docs_show_a_draw_of_all_days_in_which_no_key_is_there_twice(tmp_path: Path) -> None:
    traces = make_traces(100).assign(started_at=FIRST_DAY, cost_usd=0.1, repeat_prob=1.0)
    days = Table((traces, traces.head(60).assign(started_at=FIRST_DAY + pd.Timedelta(days=1))))
    results, page, rows = write_data_docs(days, tmp_path / "all")
    assert results["success"].all()
    assert rows == "300 of 300 requests"
    drawn = draw_queries(days, [], max_rows=90)
    assert len(drawn.rows) < 180
    results, page, rows = write_data_docs(days, tmp_path / "some", max_rows=90)
    assert results["success"].all()
    assert rows == f"{len(drawn.rows):,} of 300 requests"
    (validation,) = page.parent.glob("validations/**/*.html")
    assert rows in validation.read_text("utf-8")
    results, _, _ = write_data_docs(traces.assign(output_tokens=-1), tmp_path / "bad")
    assert set(results.loc[~results["success"], "columns"]) >= {"output_tokens"}


@pytest.mark.slow
def test_data_docs_cover_every_canonical_table_that_has_rows(tmp_path: Path) -> None:
    scores, ladder = tmp_path / "scores.csv", tmp_path / "ladder.csv"
    scores.write_text("model,benchmark,score,date\nm1,gsm8k,71.5,2026-11-01\nm2,gsm8k,60,2026-11-01\n", "utf-8")
    ladder.write_text(
        "family,model,benchmark,n_params,n_train_tokens,score\na,a-1,arc,1e8,2e9,31\na,a-2,arc,4e8,8e9,40\n", "utf-8"
    )
    ingest([scores, ladder], tmp_path / "landing")
    for table in TABLES.values():
        curate_table(table, tmp_path / "landing", tmp_path / "lake")
    traces = make_traces(20).assign(started_at=FIRST_DAY, cost_usd=0.1, repeat_prob=1.0)
    results, page, _ = write_data_docs(traces, tmp_path / "docs", lake=tmp_path / "lake")
    met = results.groupby("table")["success"].all()
    assert met.to_dict() == {"request_traces": True, "benchmark_runs": True, "ladder_measurements": False}
    assert set(results.loc[~results["success"], "columns"]) == {"started_at"}, "the ladder tells no day"
    pages = "".join(path.read_text("utf-8") for path in page.parent.glob("validations/**/*.html"))
    assert "2 of 2 rows" in pages


@pytest.mark.slow
def test_data_docs_asset_reads_its_days_one_by_one_and_tells_how_many_rows_it_shows(tmp_path: Path) -> None:
    @dg.asset
    def request_traces() -> Table:
        traces = make_traces(20).assign(started_at=FIRST_DAY, cost_usd=0.1, repeat_prob=1.0)
        return Table((traces.head(40), traces.tail(20)))

    done = dg.materialize_to_memory(
        [request_traces, data_docs], resources={"workspace": Workspace(home=str(tmp_path), starter=str(tmp_path))}
    )
    (event,) = done.asset_materializations_for_node("data_docs")
    assert event.metadata["rows"].value == "60 of 60 requests"
    assert event.metadata["unmet"].value == 0
