"""Write what one delivered file holds: its raw rows by UTC day, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.readers import ReadOptions, read_tables
from assets.readers.base import RAW_SCHEMA, REJECT_SCHEMA, Reject, rejects_table

__all__ = ["Redactor", "write_days"]

Redactor: TypeAlias = Callable[[str], str]

NO_DATE = "the record has no time, so it belongs to no day"
ROW_GROUP = 50_000
US_PER_DAY = 86_400_000_000
N_PROBLEMS = 5


def write_days(
    file: Path, folder: Path, how: dict[str, Any], companions: Sequence[Path], redact: Redactor | None
) -> dict[str, Any]:
    """Read a file into a folder: its rows by UTC day, what could not be read, and the account for its manifest."""
    options = ReadOptions(companions=tuple(companions), columns=how["columns"] or {}, date=how["date"])
    name, stream = read_tables(file, how["format"], source=how["source"], source_file=str(file), options=options)
    writers: dict[str, pq.ParquetWriter] = {}
    problems: list[str] = []
    n_rows = n_rejects = 0
    days: dict[str, int] = {}
    rejects = pq.ParquetWriter(folder / "rejects.parquet", REJECT_SCHEMA, compression="zstd")
    try:
        for table, bad in _gathered(stream):
            table, bad = _dated(table, bad, how["date"])
            table = _without_secrets(table, how["with_prompts"], redact)
            for day, part in _by_day(table):
                if day not in writers:
                    writers[day] = pq.ParquetWriter(folder / f"rows-{day}.parquet", RAW_SCHEMA, compression="zstd")
                writers[day].write_table(part)
                days[day] = days.get(day, 0) + part.num_rows
            n_rows += table.num_rows
            n_rejects += len(bad)
            rejects.write_table(told := rejects_table(bad, str(file)))
            first = told.slice(0, N_PROBLEMS - len(problems)).to_pylist()
            problems += [f"{r['source_file']}:{r['source_line']}: {r['reason']}; {r['remedy']}" for r in first]
    finally:
        for writer in (*writers.values(), rejects):
            writer.close()
    if n_rejects > len(problems):
        problems.append(f"{file}: and {n_rejects - len(problems)} more, see the quarantine")
    counts = {"n_read": n_rows + n_rejects, "n_rows": n_rows, "n_rejects": n_rejects}
    return {"format": name, **counts, "days": dict(sorted(days.items())), "problems": problems}


def _gathered(stream: Iterable[tuple[pa.Table, list[Reject]]]) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """The stream in pieces of at least `ROW_GROUP` rows: small row groups are slow to write and to read."""
    held: list[pa.Table] = []
    rejects: list[Reject] = []
    for table, bad in stream:
        held.append(table)
        rejects += bad
        if sum(table.num_rows for table in held) + len(rejects) >= ROW_GROUP:
            yield pa.concat_tables(held), rejects
            held, rejects = [], []
    if held:
        yield pa.concat_tables(held), rejects


def _without_secrets(table: pa.Table, with_prompts: bool, redact: Redactor | None) -> pa.Table:
    if with_prompts and redact is None:
        return table
    if redact is None or not with_prompts:
        prompts = pa.nulls(table.num_rows, pa.string())
    else:
        texts = table.column("prompt_text").to_pylist()
        prompts = pa.array([None if text is None else redact(text) for text in texts], pa.string())
    return table.set_column(table.schema.get_field_index("prompt_text"), "prompt_text", prompts)


def _dated(table: pa.Table, bad: list[Reject], date: str | None) -> tuple[pa.Table, list[Reject]]:
    """Give rows without a time the day that the caller names, else reject them."""
    position = table.schema.get_field_index("started_at")
    times = table.column(position)
    if times.null_count == 0:
        return table, bad
    if date is not None:
        noon = pd.Timestamp(date, tz="UTC").to_pydatetime()
        filled = pc.fill_null(times, pa.scalar(noon, type=times.type))
        return table.set_column(position, "started_at", filled), bad
    lines = table.filter(pc.is_null(times)).column("source_line").to_pylist()
    lost = [Reject(NO_DATE, line, "pass --date YYYY-MM-DD, the day on which it was made") for line in lines]
    return table.filter(pc.is_valid(times)), bad + lost


def _by_day(table: pa.Table) -> list[tuple[str, pa.Table]]:
    days = table.column("started_at").cast(pa.int64()).to_numpy() // US_PER_DAY
    distinct = np.unique(days).tolist()
    if len(distinct) == 1:
        return [(_day_name(distinct[0]), table)]
    return [(_day_name(day), table.filter(pa.array(days == day))) for day in distinct]


def _day_name(day: int) -> str:
    return (Date(1970, 1, 1) + timedelta(days=day)).isoformat()
