"""What every reader shares: the raw canonical row, the reject, and the file-to-table driver.

A reader turns one file of a foreign format into a stream of `Row` (a dict with some of the columns of
`RAW_SCHEMA`) and `Reject` (a record that could not be read, and why). It never raises on bad content and
never drops a record: whatever it reads comes out as one or the other.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import pandas as pd
import pyarrow as pa

READER_VERSION = 7
"""Raised when a reader comes to read the same bytes differently; what was landed before is read again."""

TOKEN_COLUMNS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
)
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
        ("project", _TEXT),
        ("key_name", _TEXT),
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
        *((name, pa.int64()) for name in TOKEN_COLUMNS),
        ("finish_reason", _TEXT),
        ("latency_s", pa.float64()),
        ("time_to_first_token_s", pa.float64()),
        ("service_tier", _TEXT),
        ("cost_reported_usd", pa.float64()),
        ("benchmark", _TEXT),
        ("item_id", _TEXT),
        ("score", pa.float64()),
        ("answer_logprob", pa.float64()),
        ("repeat_prob", pa.float64()),
        ("is_cached_answer", pa.bool_()),
        ("source_file", _TEXT),
        ("source_line", pa.int64()),
    ]
)
"""Columns of a raw canonical row. `settings` is JSON of the request settings that have no column of their
own, `project` and `key_name` who is to pay (the name of a key, or a digest of it, never the key), `replicate` is the
order of the repeats where the file tells it; tokens are inclusive and null where the file does not say."""

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


Single: TypeAlias = Row | Reject
R = TypeVar("R")
Columns: TypeAlias = dict[str, "list[Any] | pa.Array"]
"""Values of some columns of `RAW_SCHEMA` for several records; a column that is absent is null in all of them."""


class NotCommonError(Exception):
    """Some of the records cannot be read column by column; they must be read one by one."""


class Form(Protocol):
    """Records of one reader with the same keys in the same places, which can be read column by column."""

    def columns(self, values: list[Any], numbers: list[int]) -> Columns:
        """Read records of this form at once.

        Raises `NotCommonError` if it is not certain that `record` would read each of them alike.
        """

    def record(self, value: Any, number: int) -> Single:
        """Read one record: the definition of what `columns` must return."""


UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code that reads a record raises where the record has another shape than any that was thought of."""


def records_of(items: Iterable[Any], read: Callable[..., Iterator[R]]) -> Iterator[R | Reject]:
    """Yield what ``read(number, ...)`` finds in each item ``(number, ...)`` of a file, and its rejects as they are.

    Where `read` fails the item gives a reject: no record costs another.
    """
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        try:
            yield from read(*item)
        except UNREADABLE as error:
            yield unreadable(item[0], error)


def unreadable(number: int, error: Exception) -> Reject:
    """Reject a record of a shape that its reader does not know; the error's own text may quote it and is left out."""
    remedy = "compare the record with docs/formats.md, or leave it out"
    return Reject(f"the record has a shape that is not read ({type(error).__name__})", number, remedy)


Packed: TypeAlias = tuple[Form, int, Any, int]
"""A record that is still to be read: its form, its line, its content, and about how many bytes of text it brings."""
Record: TypeAlias = Single | Packed


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the caller may tell a reader.

    `companions` are files delivered together with this one, such as the input of a batch beside its output; `columns`
    maps canonical columns to those of the file; `date` is the UTC day on which times that count from the start of a
    trace begin.
    """

    companions: Sequence[Path] = ()
    columns: dict[str, str] = field(default_factory=dict)
    date: str | None = None


class Format(Protocol):
    """One foreign format."""

    @property
    def name(self) -> str:
        """Of the format."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Say from the first decompressed bytes (and, for archives, the path) whether this is the format."""


class Reader(Format, Protocol):
    """One foreign format of requests."""

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the records of the file."""


class TableReader(Format, Protocol):
    """One foreign format of benchmark runs, descriptions, curves or ladders.

    A reader that reads requests too (`Reader`) tells what is wrong with a file there, and here no more. One that needs
    files beside the delivered one names them in a method ``companions(path)``; they are part of its content.
    """

    def rows(self, path: Path, options: ReadOptions) -> Iterator[tuple[str, Row] | Reject]:
        """Stream the records of the file: name of a canonical table, and values of its columns."""


@dataclass(frozen=True)
class TraceRead:
    """What one file held: rows (`RAW_SCHEMA`), rejects (`REJECT_SCHEMA`), ``n_read == len(rows) + len(rejects)``.

    `format` is the name of the reader, or ``"unknown"``.
    """

    rows: pd.DataFrame
    rejects: pd.DataFrame
    format: str

    @property
    def n_read(self) -> int:
        """Records seen."""
        return len(self.rows) + len(self.rejects)


def raw_frame(table: pa.Table) -> pd.DataFrame:
    """Return a raw table as a DataFrame with nullable integers and pandas' string type."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def rejects_table(rejects: Iterable[Reject], source_file: str) -> pa.Table:
    """Return rejects as a table of `REJECT_SCHEMA`."""
    file = clean_text(source_file)
    rows = [(clean_text(r.reason), clean_text(r.remedy), file, r.source_line, r.is_file) for r in rejects]
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 5, schema=REJECT_SCHEMA)


def rejects_frame(rejects: Iterable[Reject], source_file: str) -> pd.DataFrame:
    """Return rejects as a DataFrame."""
    return raw_frame(rejects_table(rejects, source_file))


def clean_text(text: str) -> str:
    """Return the text with what UTF-8 cannot hold (half of a surrogate pair) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
