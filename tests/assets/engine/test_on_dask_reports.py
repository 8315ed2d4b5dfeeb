"""Every report of the starter data and of the mirror is the same on a Dask cluster as in this process."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("distributed")

from foretell.assets.engine import Table
from foretell.assets.engine.on_dask import DaskEngine
from foretell.assets.reports import REPORTS
from foretell.assets.reports.runs import draw_queries

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prices(traces: pd.DataFrame, tmp_path_factory) -> Path | None:
    """Made-up prices where no model has one, so that there are costs to compare."""
    if traces["cost_usd"].notna().any():
        return None
    lines = [
        f"  - {{model: {model}, input_usd_per_mtok: {1 + n}, output_usd_per_mtok: {1 + 5 * n % 17}}}"
        for n, model in enumerate(sorted(set(traces["model"])))
    ]
    path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    path.write_text("\n".join(["version: test", "models:", *lines]), "utf-8")
    return path


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_is_that_of_this_process(
    cluster: DaskEngine, traces: pd.DataFrame, parts: Table, prices: Path | None, name: str
) -> None:
    found, expected = REPORTS[name].make(parts, prices), REPORTS[name].make(traces, prices)
    assert len(expected.table) or expected.reasons
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-9)
    assert list(found.more) == list(expected.more)
    for title, table in expected.more.items():
        pd.testing.assert_frame_equal(found.more[title], table, rtol=1e-9)
    assert (found.findings, found.reasons) == (expected.findings, expected.reasons)


def test_queries_that_are_drawn_are_those_of_this_process(
    cluster: DaskEngine, traces: pd.DataFrame, parts: Table
) -> None:
    found, expected = (draw_queries(table, ["model", "prompt_text"], max_rows=700) for table in (parts, traces))
    assert 0 < len(expected.rows) < len(traces)
    pd.testing.assert_frame_equal(found.rows, expected.rows)
    assert found.reasons() == expected.reasons()
