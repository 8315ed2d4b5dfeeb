"""A table as a list of parts, each read by whoever works on it."""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foretell.predictors.errors import DatasetError

TABLE_VERSION = 1
"""Layout of the lake's tables: raised when a column changes its meaning, with a migration in `pipelines.home`."""
VERSION_KEY = b"foretell.table_version"
"""Where parquet keeps it; a table without it is of the version before there were numbers, whose layout is that of 1."""
CHECKSUM_KEY = b"foretell.columns"
"""Checksum of what names the columns, which lies outside of the pages and their checksums."""

LATER = {"project": "str", "key_name": "str", "answer_logprob": "float64"}
"""Columns of `request_traces` (and their types) that came after other days were written, where they are null."""

R = TypeVar("R")
Part: TypeAlias = str | pd.DataFrame
"""A parquet file (path, or any address that fsspec knows), or rows that are in memory already."""


@dataclass(frozen=True, eq=False)
class Table:
    """Parts whose rows together are one table; they share their columns."""

    parts: tuple[Part, ...]

    @staticmethod
    def of(rows: "pd.DataFrame | Table") -> "Table":
        """A frame as a table of one part."""
        return rows if isinstance(rows, Table) else Table((rows,))

    @classmethod
    def under(cls, folder: Path) -> "Table":
        """The parquet files of a folder, in the order of their names: for tables cut into days, oldest first.

        Raises `FileNotFoundError` if there is none.
        """
        files = sorted(str(path) for path in folder.glob("*.parquet"))
        if not files:
            raise FileNotFoundError(f"{folder}: no such table yet; run `foretell demo` or the job that makes it")
        return cls(tuple(files))

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        first = self.parts[0]
        return list(first.columns) if isinstance(first, pd.DataFrame) else _footer(first, pq.read_schema).names

    @property
    def n_rows(self) -> int:
        """Rows of all parts; of files only the footers are read."""
        return sum(len(p) if isinstance(p, pd.DataFrame) else _footer(p, pq.read_metadata).num_rows for p in self.parts)

    @property
    def stamp(self) -> tuple[tuple[str, int, int, int], ...] | None:
        """What changes when a file is written anew; None where a part is no file of this machine."""
        stats = [(path, Path(path).stat()) for path in self.parts if isinstance(path, str) and "://" not in path]
        found = tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
        return found if len(found) == len(self.parts) else None

    def collect(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows in this process."""
        return stacked([read_part(part, columns) for part in self.parts])


class WhileUnchanged(Generic[R]):
    """The last thing that was found out about a table, kept while its files are the same."""

    def __init__(self) -> None:
        self._last: tuple[Hashable, R] | None = None

    def get(self, key: tuple[Hashable, ...], find: Callable[[], R]) -> R:
        """What `find` returns, or returned for the same `key`, which begins with `Table.stamp`: None is not kept."""
        if key[0] is None:
            return find()
        if (last := self._last) is None or last[0] != key:
            self._last = last = None  # before another takes memory
            self._last = last = (key, find())
        return last[1]


def read_part(part: Part, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of a part, of a file only the columns that are asked for.

    Raises `DatasetError` if the file is damaged, which checksums of its pages tell, or was written by a newer version
    of this project.
    """
    if isinstance(part, pd.DataFrame):
        return part if columns is None else part[list(columns)]
    schema = _footer(part, pq.read_schema)
    metadata = schema.metadata or {}
    with _damage_named(part):
        number = int(metadata.get(VERSION_KEY, TABLE_VERSION))
        if metadata.get(CHECKSUM_KEY, _checksum(schema)) != _checksum(schema):
            raise ValueError("names of columns have changed")
    if number > TABLE_VERSION:
        raise DatasetError(
            f"{part}: a table of layout {number}, this version reads up to {TABLE_VERSION}; upgrade foretell"
        )
    with _damage_named(part):
        absent = [name for name in columns or () if name in LATER and name not in schema.names]
        names = None if columns is None else [name for name in columns if name not in absent]
        frame = pd.read_parquet(part, columns=names, page_checksum_verification=True)
    nothing = {name: pd.Series(None, index=frame.index, dtype=LATER[name]) for name in absent}
    return frame.assign(**nothing)[list(columns)] if columns and absent else frame


def numbered(table: pa.Table) -> pa.Table:
    """The same table with the number of its layout and the checksum of its columns, for parquet to keep."""
    marks = {VERSION_KEY: str(TABLE_VERSION).encode(), CHECKSUM_KEY: _checksum(table.schema)}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **marks})


def _checksum(schema: pa.Schema) -> bytes:
    content = repr(schema.names).encode() + (schema.metadata or {}).get(b"pandas", b"")
    return hashlib.sha256(content).hexdigest().encode()


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of frames that share their columns; empty ones, which carry no information on dtypes, are left out."""
    return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


def _footer(path: str, read: Callable[[Any], Any]) -> Any:
    """What the end of a parquet file says of it."""
    with _damage_named(path):
        if "://" not in path:
            return read(path)
        import fsspec

        with fsspec.open(path) as file:
            return read(file)


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    """Name the file that parquet cannot read, and the remedy."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: damaged, parquet cannot read it ({error}); curate the day again") from error
