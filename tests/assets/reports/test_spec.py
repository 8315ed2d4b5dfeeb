"""A report that can say nothing keeps its reasons, as a table and in the metadata."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd

from foretell.assets.reports import REPORTS
from foretell.assets.reports.spec import build_report_asset
from foretell.assets.resources import Workspace
from foretell.assets.store.io import read_table
from foretell.assets.store.io_manager import ParquetIOManager
from tests.assets.report_traces import make_traces, price_file


def test_reasons_are_the_table_where_there_is_no_answer(tmp_path: Path) -> None:
    traces = make_traces(6).assign(score=np.nan)

    @dg.asset
    def request_traces() -> pd.DataFrame:
        return traces

    resources = {
        "io_manager": ParquetIOManager(root=str(tmp_path / "lake")),
        "workspace": Workspace(home=str(tmp_path), starter=str(tmp_path), price_file=str(price_file(tmp_path))),
    }
    report = build_report_asset(REPORTS["cost-of-pass"])
    result = dg.materialize([request_traces, report], resources=resources)
    assert result.success
    (event,) = result.asset_materializations_for_node("cost_of_pass_report")
    table = read_table(tmp_path / "lake", "cost_of_pass_report")
    assert table.columns.tolist() == ["reason"]
    assert len(table) >= 1
    assert "have no score" in table["reason"].iloc[0]
    assert "have no score" in event.metadata["findings"].value
    assert event.metadata["rows"].value == 0
    assert "plot" not in event.metadata
