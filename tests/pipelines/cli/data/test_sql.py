"""Curated tables out: `foretell sql` and `foretell export`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from foretell.pipelines.cli.data.export import export
from foretell.pipelines.cli.data.sql import query_lake
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError, InvalidInputError


def test_export_and_sql_agree_with_the_lake(installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "traces.parquet"
    monkeypatch.setenv("FORETELL_HOME", str(installed.settings.home))
    export(out)
    exported = pd.read_parquet(out)
    answer = query_lake(installed.settings, "select count(*) n, sum(output_tokens) tokens from request_traces")
    (row,) = answer.to_dict("records")
    assert row["n"] == len(exported) > 0
    assert row["tokens"] == exported["output_tokens"].sum()


def test_bad_query_names_the_tables(installed) -> None:
    with pytest.raises(InvalidInputError, match="request_traces"):
        query_lake(installed.settings, "select * from nowhere")


def test_sql_before_anything_was_ingested_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="foretell ingest"):
        query_lake(Settings(home=tmp_path), "select 1")
