"""What every reader shares: the raw canonical row, the reject, and the file-to-table driver.

A reader turns one file of a foreign format into a stream of `Row` (a dict with some of the columns of
`RAW_SCHEMA`) and `Reject` (a record that could not be read, and why). It never raises on bad content and
never drops a record: whatever it reads comes out as one or the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa

__all__ = [
    "RAW_SCHEMA",
    "READER_VERSION",
    "REJECT_SCHEMA",
    "TOKEN_COLUMNS",
    "ReadOptions",
    "Reader",
    "Record",
    "Reject",
    "Row",
    "TraceRead",
    "as_table",
    "empty_rejects",
    "raw_frame",
    "rejects_frame",
    "rejects_table",
    "tables",
]

READER_VERSION = 1
"""Raised when a reader comes to read the same bytes differently; what was landed before is read again."""

TOKEN_COLUMNS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
)
IMPLAUSIBLE_TOKENS = 10**12
BATCH_ROWS = 5_000
"""Rows held at once; with more the collector of cyclic garbage costs a third of the time."""

_TEXT = pa.string()
RAW_SCHEMA = pa.schema(
    [
        ("source", _TEXT),
        ("request_id", _TEXT),
        ("trace_id", _TEXT),
        ("query_id", _TEXT),
        ("replicate", pa.int64()),
        ("started_at", pa.timestamp("us", "UTC")),
        ("provider", _TEXT),
        ("model", _TEXT),
        ("request_model", _TEXT),
        ("response_model", _TEXT),
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("max_tokens", pa.int64()),
        ("reasoning_effort", _TEXT),
        ("settings", _TEXT),
        ("seed", pa.int64()),
        ("prompt_text", _TEXT),
        ("input_tokens", pa.int64()),
        ("cache_read_tokens", pa.int64()),
        ("cache_write_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("reasoning_tokens", pa.int64()),
        ("total_tokens", pa.int64()),
        ("finish_reason", _TEXT),
        ("latency_s", pa.float64()),
        ("time_to_first_token_s", pa.float64()),
        ("service_tier", _TEXT),
        ("cost_reported_usd", pa.float64()),
        ("benchmark", _TEXT),
        ("item_id", _TEXT),
        ("score", pa.float64()),
        ("repeat_prob", pa.float64()),
        ("is_cached_answer", pa.bool_()),
        ("source_file", _TEXT),
        ("source_line", pa.int64()),
    ]
)
"""Columns of a raw canonical row. `settings` is JSON of the request settings that have no column of their
own, `replicate` is the order of the repeats where the file tells it; tokens are inclusive and null where
the file does not say."""

_STRICT = {*TOKEN_COLUMNS, "cost_reported_usd"}
REJECT_SCHEMA = pa.schema(
    [("reason", _TEXT), ("remedy", _TEXT), ("source_file", _TEXT), ("source_line", pa.int64()), ("is_file", pa.bool_())]
)

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be read: why, where it stands and what to do about it.

    `is_file` marks a fault of the file as a whole (empty, of no known format), not of one record.
    """

    reason: str
    source_line: int | None
    remedy: str
    is_file: bool = False


Record: TypeAlias = Row | Reject


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the caller may tell a reader.

    Attributes
    ----------
    companions : sequence of Path
        Files delivered together with this one, such as the input of a batch beside its output.
    columns : dict of str to str
        Column map of the tabular reader: canonical column to column of the file.
    date : str, optional
        UTC day ``YYYY-MM-DD`` on which times that count from the start of a trace begin.
    """

    companions: Sequence[Path] = ()
    columns: dict[str, str] = field(default_factory=dict)
    date: str | None = None


class Reader(Protocol):
    """One foreign format."""

    name: str

    def sniff(self, head: bytes, path: Path) -> bool:
        """Say from the first decompressed bytes (and, for archives, the path) whether this is the format."""
        ...

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the records of the file."""
        ...


@dataclass(frozen=True)
class TraceRead:
    """What one file held.

    Attributes
    ----------
    rows : DataFrame
        Raw canonical rows, columns of `RAW_SCHEMA`.
    rejects : DataFrame
        Columns ``reason``, ``remedy``, ``source_file``, ``source_line``, ``is_file``.
    n_read : int
        Records seen: ``len(rows) + len(rejects)``.
    format : str
        Name of the reader, or ``"unknown"``.
    """

    rows: pd.DataFrame
    rejects: pd.DataFrame
    n_read: int
    format: str

    def __post_init__(self) -> None:
        if self.n_read != len(self.rows) + len(self.rejects):
            raise AssertionError(f"{self.n_read} records read, {len(self.rows)} rows + {len(self.rejects)} rejects")


def raw_frame(table: pa.Table) -> pd.DataFrame:
    """Return a raw table as a DataFrame with nullable integers and pandas' string type."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def rejects_table(rejects: Iterable[Reject], source_file: str) -> pa.Table:
    """Return rejects as a table of `REJECT_SCHEMA`."""
    rows = [
        {
            "reason": _clean_text(r.reason),
            "remedy": _clean_text(r.remedy),
            "source_file": _clean_text(source_file),
            "source_line": r.source_line,
            "is_file": r.is_file,
        }
        for r in rejects
    ]
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)


def rejects_frame(rejects: Iterable[Reject], source_file: str) -> pd.DataFrame:
    """Return rejects as a DataFrame."""
    return raw_frame(rejects_table(rejects, source_file))


def empty_rejects() -> pd.DataFrame:
    """Return a rejects table without rows."""
    return rejects_frame([], "")


def tables(
    records: Iterator[Record], *, source: str, source_file: str, batch_rows: int = BATCH_ROWS
) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """Gather a stream of records into tables of at most `batch_rows` rows, so that memory stays flat."""
    is_empty = True
    while batch := list(islice(records, batch_rows)):
        is_empty = False
        rows = [record for record in batch if not isinstance(record, Reject)]
        rejects = [record for record in batch if isinstance(record, Reject)]
        table, bad = as_table(rows, source=source, source_file=source_file)
        yield table, rejects + bad
    if is_empty:
        nothing = Reject("the file holds no request to a model", 1, "name another format with --format", is_file=True)
        yield RAW_SCHEMA.empty_table(), [nothing]


def as_table(rows: Sequence[Row], *, source: str, source_file: str) -> tuple[pa.Table, list[Reject]]:
    """Convert rows to the types of `RAW_SCHEMA`; a row with an impossible token count or cost is rejected.

    Other fields that do not have their type (a temperature of "hot") become null: they never cost a row.
    """
    faults: dict[int, list[str]] = {}
    arrays: list[pa.Array] = []
    for column in RAW_SCHEMA:
        values: list[Any]
        if column.name in ("source", "source_file"):
            default = source if column.name == "source" else source_file
            values = [row.get(column.name) or default for row in rows]
        else:
            values = [row.get(column.name) for row in rows]
        arrays.append(_array(values, column, faults))
    table = pa.Table.from_arrays(arrays, schema=RAW_SCHEMA)
    if not faults:
        return table, []
    keep = pa.array([position not in faults for position in range(len(rows))])
    remedy = "correct the record at its source; a count that is unknown must be absent or null"
    rejects = [Reject("; ".join(why), rows[i].get("source_line"), remedy) for i, why in sorted(faults.items())]
    return table.filter(keep), rejects


def _array(values: list[Any], column: pa.Field, faults: dict[int, list[str]]) -> pa.Array:
    is_tokens = column.name in TOKEN_COLUMNS
    try:
        array = pa.array(values, type=column.type, from_pandas=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        pass  # some value has another type: convert one by one
    else:
        if not is_tokens or not _beyond(array):
            return array
    convert = _CONVERT[column.type]
    converted = []
    for position, value in enumerate(values):
        number = None
        if value is not None:
            number = convert(value)
            wrong = number is None or (is_tokens and abs(number) > IMPLAUSIBLE_TOKENS)
            if wrong and column.name in _STRICT:
                faults.setdefault(position, []).append(
                    f"{column.name} is {_shown(value)}, not a whole number"
                    if is_tokens
                    else f"{column.name} is {_shown(value)}"
                )
                number = None
        converted.append(number)
    return pa.array(converted, type=column.type, from_pandas=False)


def _beyond(array: pa.Array) -> bool:
    import pyarrow.compute as pc

    extremes = pc.min_max(array).as_py()
    return any(value is not None and abs(value) > IMPLAUSIBLE_TOKENS for value in extremes.values())


def _shown(value: Any) -> str:
    text = _clean_text(repr(value))
    return text if len(text) <= 40 else text[:37] + "..."


def _clean_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _as_text(value: Any) -> str | None:
    return _clean_text(value) if isinstance(value, str) else (None if isinstance(value, dict | list) else str(value))


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _as_int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, int):
        number = _as_float(value)
        if number is None or not number.is_integer():
            return None
        value = int(number)
    return value if -(2**63) <= value < 2**63 else None


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False, "1": True, "0": False}.get(str(value).strip().lower())


_CONVERT: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.string(): _as_text,
    pa.float64(): _as_float,
    pa.int64(): _as_int,
    pa.timestamp("us", "UTC"): _as_int,
    pa.bool_(): _as_bool,
}
