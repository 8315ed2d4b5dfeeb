"""Rows of Parquet files: odd values cost no row, a file that claims too much is refused unread."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretell.assets.readers.core.records import Reject
from foretell.assets.readers.files import parquet_items as module
from foretell.assets.readers.files.parquet_items import parquet_items

MOMENT = 1_795_315_000_000_000


def items_of(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return list(parquet_items(path))


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us", "Mars/Olympus_Mons"), pa.timestamp("us", "UTC"), pa.timestamp("us")]
)
def test_times_of_any_zone_are_read_and_those_beyond_the_calendar_are_unknown(tmp_path, kind):
    times = pa.array([MOMENT, 2**62, -(2**62), None], kind)
    items = items_of(tmp_path / "a.parquet", {"id": ["a", "b", "c", "d"], "at": times})
    assert [item["id"] for _, item in items] == ["a", "b", "c", "d"]
    assert [item["at"] is None for _, item in items] == [False, True, True, True]
    assert items[0][1]["at"].year == 2026


def test_rows_that_share_a_text_share_its_memory(tmp_path):
    items = items_of(tmp_path / "a.parquet", {"text": ["x" * 100_000] * 50 + [None]})
    assert len({id(item["text"]) for _, item in items[:-1]}) == 1
    assert items[-1][1]["text"] is None


def test_a_file_of_impossibly_many_rows_is_refused(tmp_path):
    (reject,) = items_of(tmp_path / "a.parquet", {"n": pa.array([1] * 1_200_000, pa.int8())})
    assert isinstance(reject, Reject)
    assert "1,200,000 rows in" in reject.reason


def test_a_row_group_that_unpacks_beyond_its_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_GROUP_BYTES", 1 << 20)
    columns = {"text": ["x" * 100_000] * 50}
    (reject,) = items_of(tmp_path / "a.parquet", columns, use_dictionary=False, compression="zstd")
    assert "a row group that unpacks to 4 MiB" in reject.reason
