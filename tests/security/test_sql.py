"""`foretell sql` reaches the tables of the lake: no other file, no network, no extension, and no way back."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from foretell.assets.lake.export import connect_lake
from foretell.assets.store.io import write_table
from foretell.predictors.errors import DatasetError


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for day, tokens in (("2026-11-21", [1, 2]), ("2026-11-22", [3, None])):
        rows = pd.DataFrame(
            {"model": ["a", "b"], "tokens": pd.array(tokens, "Int64"), "day": pd.Timestamp(day, tz="UTC")}
        )
        write_table(rows, tmp_path / "lake" / "request_traces" / f"{day}.parquet")
    return tmp_path / "lake"


def test_honest_queries_are_answered(lake: Path) -> None:
    with connect_lake(lake) as connection:
        query = "select model, sum(tokens), max(date_trunc('day', day))::date::text from request_traces group by 1"
        assert sorted(connection.sql(query).fetchall()) == [("a", 4, "2026-11-22"), ("b", 2, "2026-11-22")]
        assert len(connection.sql("summarize request_traces").fetchall()) == 3


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('{secret}')",
        "select * from '{secret}'",
        "select * from read_parquet('{table}')",
        "select * from glob('{folder}/*')",
        "copy request_traces to '{folder}/out.csv'",
        "copy (select 1) to '{table}'",
        "export database '{folder}/out'",
        "attach '{folder}/out.db'",
        "install httpfs",
        "load '{folder}/out.duckdb_extension'",
        "set enable_external_access = true",
        "reset enable_external_access",
        "set lock_configuration = false",
        "set profiling_output = '{folder}/out.json'",
        "call enable_logging('QueryLog', storage = 'file', storage_path = '{folder}/out')",
        "select * from secret_frame",
    ],
)
def test_a_query_that_leaves_the_lake_is_refused(lake: Path, tmp_path: Path, query: str) -> None:
    secret, table = tmp_path / "secret.csv", lake / "request_traces" / "2026-11-21.parquet"
    secret.write_text("password\n1234\n", "utf-8")
    secret_frame = pd.DataFrame({"password": [1234]})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with connect_lake(lake) as connection, pytest.raises(duckdb.Error):
        connection.execute(query.format(secret=secret, table=table, folder=tmp_path)).fetchall()
    assert len(secret_frame) == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_damaged_table_is_named(lake: Path) -> None:
    path = lake / "request_traces" / "2026-11-22.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"2026-11-22\.parquet: damaged"):
        connect_lake(lake)
