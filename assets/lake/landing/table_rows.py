"""Write what one delivered file holds for the canonical tables, by table and part, and read it back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foretell.assets.lake.landing.days import N_PROBLEMS, impossible_day
from foretell.assets.lake.landing.manifests import read_manifests, read_parquet, rejects_file
from foretell.assets.lake.tables.contracts import CONTRACT_VERSION, TABLES, UNDATED, LakeTable
from foretell.assets.readers import table_reader
from foretell.assets.readers.core.records import ReadOptions, Reject, Row, clean_text, raw_frame, rejects_table
from foretell.assets.readers.core.secrets import scrub_column
from foretell.assets.store.days import FIRST_DAY, last_day

ROW_GROUP = 50_000


def write_table_rows(
    file: Path, label: str, folder: Path, how: dict[str, Any], format: str, companions: Sequence[Path]
) -> dict[str, Any]:
    """Read a file into a folder: rows by table and part; the account for its manifest, with the rejects themselves."""
    options = ReadOptions(companions=tuple(companions), columns=how["columns"] or {}, date=how["date"])
    writer, reader = _Writer(folder), table_reader(format)
    assert reader is not None, f"{format} feeds no table"
    rejects: list[Reject] = []
    for item in reader.rows(file, options):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        name, row = item
        number = row.get("source_line")
        noon = None if how["date"] is None else f"{how['date']}T12:00:00+00:00"
        filled = {**row, "source": how["source"] or row.get("source") or format, "source_file": label}
        filled["started_at"] = row.get("started_at") if row.get("started_at") is not None else noon
        typed = TABLES[name].typed(filled, number)
        refused = typed if isinstance(typed, Reject) else _impossible(typed, number)
        if refused is not None:
            rejects.append(refused)
        else:
            assert not isinstance(typed, Reject)
            writer.add(TABLES[name], typed)
    writer.close()
    n_rows = sum(n for parts in writer.counts.values() for n in parts.values())
    return {"tables": writer.counts, "n_read": n_rows + len(rejects), "n_rows": n_rows, "rejects": rejects}


def write_rejects(folder: Path, rejects: Sequence[Reject], label: str) -> list[str]:
    """Write what could not be read of a file that feeds no traces; the first problems."""
    table = rejects_table(rejects, label)
    pq.write_table(table, folder / "rejects.parquet", compression="zstd", write_page_checksum=True)
    told = [f"{r['source_file']}:{r['source_line']}: {r['reason']}; {r['remedy']}" for r in table.to_pylist()]
    more = [] if len(told) <= N_PROBLEMS else [f"{label}: and {len(told) - N_PROBLEMS} more, see the quarantine"]
    return told[:N_PROBLEMS] + more


def _impossible(row: Row, number: int | None) -> Reject | None:
    part = _part(row)
    if part == UNDATED or FIRST_DAY.isoformat() <= part <= last_day().isoformat():
        return None
    return impossible_day(part, number)


def _part(row: Row) -> str:
    if row["started_at"] is None:
        return UNDATED
    return str(pd.Timestamp(row["started_at"], unit="us").date().isoformat())


class _Writer:
    """Rows to one parquet file per table and part, a group at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[tuple[str, str], list[Row]] = {}
        self._files: dict[tuple[str, str], pq.ParquetWriter] = {}
        self.counts: dict[str, dict[str, int]] = {}

    def add(self, table: LakeTable, row: Row) -> None:
        part = _part(row)
        held = self._held.setdefault((table.name, part), [])
        held.append(row)
        parts = self.counts.setdefault(table.name, {})
        parts[part] = parts.get(part, 0) + 1
        if len(held) >= ROW_GROUP:
            self._flush(table.name, part)

    def close(self) -> None:
        for name, part in list(self._held):
            self._flush(name, part)
        for file in self._files.values():
            file.close()

    def _flush(self, name: str, part: str) -> None:
        schema, rows = TABLES[name].arrow, self._held.pop((name, part))
        columns = []
        for field in schema:
            values = [row[field.name] for row in rows]
            if pa.types.is_string(field.type):
                values = scrub_column(pa.array([None if v is None else clean_text(v) for v in values], field.type))
            columns.append(pa.array(values, field.type) if isinstance(values, list) else values)
        if (name, part) not in self._files:
            path = self._folder / f"{name}-{part}.parquet"
            self._files[name, part] = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
        self._files[name, part].write_table(pa.table(columns, schema=schema))


def landed_parts(landing: Path, table: LakeTable) -> dict[str, str]:
    """For every part, a SHA-256 over what its rows come from: equal digests mean equal rows."""
    came: dict[str, list[Any]] = {}
    for manifest in read_manifests(landing):
        for part in manifest.get("tables", {}).get(table.name, {}):
            came.setdefault(part, []).append([manifest["key"], manifest["reader_version"], manifest["how"]])
    return {
        part: hashlib.sha256(json.dumps([CONTRACT_VERSION, files], sort_keys=True).encode()).hexdigest()
        for part, files in sorted(came.items())
    }


def tables_digest(landing: Path, names: Sequence[str]) -> str:
    """SHA-256 over what has landed for some tables."""
    parts = {name: landed_parts(landing, TABLES[name]) for name in names}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def load_part(landing: Path, table: LakeTable, part: str) -> pd.DataFrame:
    """The landed rows of a part, of all files."""
    return raw_frame(pa.concat_tables([table.arrow.empty_table(), *_tables(landing, table, part)]))


def _tables(landing: Path, table: LakeTable, part: str) -> Iterator[pa.Table]:
    for manifest in read_manifests(landing):
        if part in manifest.get("tables", {}).get(table.name, {}):
            folder = rejects_file(landing, manifest).parent
            yield read_parquet(folder / f"{table.name}-{part}.parquet", table.arrow)
