"""Write what one delivered file holds: its raw rows by UTC day, and what could not be read."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date as Date
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foretell.assets.lake.landing.manifests import readable_name
from foretell.assets.readers.core.records import ReadOptions, Reject, rejects_table
from foretell.assets.readers.reading import read_tables
from foretell.assets.store.days import FIRST_DAY, has_day, last_day
from foretell.predictors.errors import InvalidInputError

Redactor: TypeAlias = Callable[[str], str]

NO_DATE = "the record has no time, so it belongs to no day"
ROW_GROUP = 50_000
GROUP_BYTES = 256 << 20
N_PROBLEMS = 5


class Written:
    """What is written of one delivered file: tables by name, and what could not be read with the first problems.

    Pages carry checksums: without them two bit flips of three change what is read and nobody notices.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder, self._label = folder, label
        self._files: dict[str, pq.ParquetWriter] = {}
        self._problems: list[str] = []
        self.n_rejects = 0

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._files.values():
            file.close()

    def add(self, name: str, table: pa.Table) -> None:
        """Append rows to ``<name>.parquet``."""
        if name not in self._files:
            path = self._folder / f"{name}.parquet"
            self._files[name] = pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True)
        self._files[name].write_table(table)

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Append to ``rejects.parquet``."""
        refused = rejects_table(rejects, self._label)
        self.add("rejects", refused)
        self.n_rejects += len(rejects)
        first = refused.slice(0, N_PROBLEMS - len(self._problems)).to_pylist()
        self._problems += [f"{r['source_file']}:{r['source_line']}: {r['reason']}; {r['remedy']}" for r in first]

    def account(self, n_rows: int) -> dict[str, Any]:
        """Counts and the first problems, for the manifest."""
        n_more = self.n_rejects - len(self._problems)
        more = [f"{self._label}: and {n_more} more, see the quarantine"] if n_more else []
        counts = {"n_read": n_rows + self.n_rejects, "n_rows": n_rows, "n_rejects": self.n_rejects}
        return {**counts, "problems": self._problems + more}


def write_days(
    file: Path, folder: Path, how: dict[str, Any], options: ReadOptions, redact: Redactor | None
) -> dict[str, Any]:
    """Read a file into a folder: its rows by UTC day, what could not be read, and the account for its manifest."""
    label = readable_name(file)
    name, stream = read_tables(file, how["format"], source=how["source"], source_file=label, options=options)
    days: Counter[str] = Counter()
    days_ahead: list[str] = []
    with Written(folder, label) as written:
        for table, bad in _gathered(stream):
            table, bad = _dated(table, bad, how["date"])
            table, bad, ahead = _on_possible_days(table, bad)
            days_ahead += ahead
            table = _without_secrets(table, how["with_prompts"], redact)
            of_row = _days(table)
            distinct = np.unique(of_row)
            for day in distinct:
                part = table if len(distinct) == 1 else table.filter(pa.array(of_row == day))
                written.add(f"rows-{day}", part)
                days[str(day)] += part.num_rows
            written.reject(bad)
    by_day = {"days": dict(sorted(days.items())), "first_day_ahead": min(days_ahead, default=None)}
    return {"format": name, **written.account(days.total()), **by_day}


def _gathered(stream: Iterable[tuple[pa.Table, list[Reject]]]) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """The stream in pieces of `ROW_GROUP` rows or `GROUP_BYTES`: small row groups are slow to write and to read."""
    held: list[pa.Table] = []
    rejects: list[Reject] = []
    for table, bad in stream:
        held.append(table)
        rejects += bad
        n_rows = sum(table.num_rows for table in held) + len(rejects)
        if n_rows >= ROW_GROUP or sum(table.nbytes for table in held) >= GROUP_BYTES:
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


def _on_possible_days(table: pa.Table, bad: list[Reject]) -> tuple[pa.Table, list[Reject], list[str]]:
    """Reject rows of days that no table holds; also which of these days are yet to come."""
    days, last = _days(table), np.datetime64(last_day())
    possible = (np.datetime64(FIRST_DAY) <= days) & (days <= last)
    if possible.all():
        return table, bad, []
    lines = table.column("source_line").filter(pa.array(~possible)).to_pylist()
    lost = [impossible_day(str(day), line) for day, line in zip(days[~possible], lines, strict=True)]
    return table.filter(pa.array(possible)), bad + lost, [str(day) for day in days[days > last]]


def impossible_day(day: str, line: int | None) -> Reject:
    """Why a record of this day is not taken, and what to do."""
    if day < FIRST_DAY.isoformat():
        why = f"the record is dated {day}, before the first language models ({FIRST_DAY})"
        return Reject(why, line, "correct its time, or leave it out and pass --date YYYY-MM-DD")
    why = f"the record is dated {day}, which is yet to come"
    return Reject(why, line, "correct its time or this machine's clock; the same file delivered on that day is taken")


def _days(table: pa.Table) -> NDArray[np.datetime64]:
    """UTC day of every row."""
    return np.asarray(table.column("started_at").to_numpy().astype("datetime64[D]"))


def possible_day(date: str | None) -> str | None:
    """A day as ISO writes it, of those that partitions hold; raises InvalidInputError where it is none."""
    if date is None:
        return None
    try:
        day = Date.fromisoformat(date).isoformat()
    except (TypeError, ValueError):
        raise InvalidInputError(f"`date` must be a day such as 2026-11-22, got {date!r}") from None
    if not has_day(day):
        raise InvalidInputError(f"`date` must be a day from {FIRST_DAY} to {last_day()}, got {day}")
    return day
