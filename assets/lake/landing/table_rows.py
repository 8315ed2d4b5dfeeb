"""Write what one delivered file holds for the canonical tables, by table and part, and read it back."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from foretell.assets.lake.landing.days import ROW_GROUP, Written, impossible_day
from foretell.assets.lake.landing.manifests import (
    facts_digest,
    origins,
    read_manifests,
    read_parquet,
    readable_name,
    rows_file,
)
from foretell.assets.lake.tables.contracts import CONTRACT_VERSION, TABLES, UNDATED, LakeTable
from foretell.assets.readers.core.records import ReadOptions, Reject, Row, clean_text, raw_frame
from foretell.assets.readers.core.secrets import scrub_column
from foretell.assets.readers.reading import table_reader
from foretell.assets.store.days import has_day


def write_table_rows(
    file: Path, folder: Path, how: dict[str, Any], format: str, options: ReadOptions, *, with_rejects: bool
) -> dict[str, Any]:
    """Read a file into a folder: its rows by table and part, what could not be read, the account for its manifest."""
    reader = table_reader(format)
    assert reader is not None, f"{format} feeds no table"
    label = readable_name(file)
    held: dict[tuple[str, str], list[Row]] = {}
    counts: dict[str, Counter[str]] = {}
    rejects: list[Reject] = []
    with Written(folder, label) as written:
        for item in reader.rows(file, options):
            row = item if isinstance(item, Reject) else _typed(*item, how=how, format=format, label=label)
            if isinstance(row, Reject):
                rejects.append(row)
                continue
            key = item[0], _part(row)  # type: ignore[index]
            counts.setdefault(key[0], Counter())[key[1]] += 1
            held.setdefault(key, []).append(row)
            if len(held[key]) >= ROW_GROUP:
                written.add("-".join(key), _arrow(key[0], held.pop(key)))
        for key, rows in held.items():
            written.add("-".join(key), _arrow(key[0], rows))
        if with_rejects:
            written.reject(rejects)
    n_rows = sum(parts.total() for parts in counts.values())
    return {**written.account(n_rows), "tables": {name: dict(parts) for name, parts in counts.items()}}


def _typed(name: str, row: Row, *, how: dict[str, Any], format: str, label: str) -> Row | Reject:
    """The row as its table has it, with file, source, and the day that the caller names where it tells no time."""
    noon = None if how["date"] is None else f"{how['date']}T12:00:00+00:00"
    started = noon if row.get("started_at") is None else row["started_at"]
    source = how["source"] or row.get("source") or format
    number = row.get("source_line")
    typed = TABLES[name].typed({**row, "source": source, "source_file": label, "started_at": started}, number)
    if isinstance(typed, Reject) or (part := _part(typed)) == UNDATED or has_day(part):
        return typed
    return impossible_day(part, number)


def _part(row: Row) -> str:
    if row["started_at"] is None:
        return UNDATED
    return str(pd.Timestamp(row["started_at"], unit="us").date().isoformat())


def _arrow(name: str, rows: Sequence[Row]) -> pa.Table:
    """Rows with the types of their table, texts without secrets."""
    columns = []
    for field in TABLES[name].arrow:
        values = [row[field.name] for row in rows]
        if pa.types.is_string(field.type):
            columns.append(scrub_column(pa.array([None if v is None else clean_text(v) for v in values], field.type)))
        else:
            columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=TABLES[name].arrow)


def landed_parts(landing: Path, table: LakeTable) -> dict[str, str]:
    """For every part, a SHA-256 over what its rows come from: equal digests mean equal rows."""
    came = origins(landing, lambda manifest: manifest.get("tables", {}).get(table.name, {}))
    return {part: facts_digest([CONTRACT_VERSION, files]) for part, files in came.items()}


def tables_digest(landing: Path, names: Sequence[str]) -> str:
    """SHA-256 over what has landed for some tables."""
    return facts_digest({name: landed_parts(landing, TABLES[name]) for name in names})


def load_part(landing: Path, table: LakeTable, part: str) -> pd.DataFrame:
    """The landed rows of a part, of all files."""
    held = (m for m in read_manifests(landing) if part in m.get("tables", {}).get(table.name, {}))
    files = (rows_file(landing, manifest, f"{table.name}-{part}") for manifest in held)
    return raw_frame(pa.concat_tables([table.arrow.empty_table(), *(read_parquet(f, table.arrow) for f in files)]))
