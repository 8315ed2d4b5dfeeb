"""Rows of a Parquet file as dicts, however far it unpacks.

A few KiB of Parquet can hold gigabytes: one long text written once and repeated, or pages of zeros. So texts are
decoded once for all rows that share them, batches are as small as their rows are large, and a file that claims more
than its size can mean is refused before it is decoded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from foretell.assets.readers.core.records import UNREADABLE, Reject

PARQUET_MAGIC = b"PAR1"
BATCH_ROWS = 5_000
BATCH_BYTES = 64 << 20
"""Rows at once: as many as take about these bytes."""
MAX_GROUP_BYTES = 256 << 20
"""A row group may unpack to this much, or to `MAX_RATIO` times its file."""
MAX_RATIO = 200
MAX_ROWS = 1_000_000
"""A file may hold as many rows, or as many as it has bytes: a row has an id or a count of its own."""
MAX_COLUMNS = 10_000

Item = tuple[int, dict[str, Any]]


def parquet_names(path: Path) -> set[str]:
    """Return the columns of a Parquet file; none if it is damaged."""
    try:
        return set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return set()


def parquet_items(path: Path) -> Iterator[Item | Reject]:
    """Yield ``(row, values)`` of a Parquet file, or a `Reject` for what cannot be read."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            texts = [field.name for field in file.schema_arrow if field.type in (pa.string(), pa.large_string())]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            if (claim := _impossible_claim(file.metadata, path.stat().st_size)) is not None:
                yield Reject(claim, 1, "write the file again, in row groups of usual size", is_file=True)
                return
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group)
                row_bytes = max(1, size.total_byte_size // max(1, size.num_rows))
                batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))
                for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group]):
                    columns = {name: _values(batch.column(i)) for i, name in enumerate(batch.schema.names)}
                    for values in zip(*columns.values(), strict=True):
                        number += 1
                        yield number, dict(zip(columns, values, strict=True))
    except (pa.ArrowException, OSError, IndexError) as error:  # codes that a damaged dictionary does not have
        why = f"the parquet file is damaged after row {number} ({type(error).__name__})"
        yield Reject(why, number + 1, "deliver the file again", is_file=number == 0)


def _impossible_claim(metadata: pq.FileMetaData, n_bytes: int) -> str | None:
    """Why a file unpacks to more than its size can mean, None if it does not."""
    if metadata.num_columns > MAX_COLUMNS:
        return f"{metadata.num_columns:,} columns, more than {MAX_COLUMNS:,}"
    if metadata.num_rows > max(MAX_ROWS, n_bytes):
        return f"{metadata.num_rows:,} rows in {n_bytes:,} bytes"
    sizes = (metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    largest, limit = max(sizes, default=0), max(MAX_GROUP_BYTES, MAX_RATIO * n_bytes)
    if largest > limit:
        return f"a row group that unpacks to {largest >> 20:,} MiB, of a file of {n_bytes:,} bytes"
    return None


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        distinct = _values(column.dictionary)  # shared by all rows that hold them
        return [None if code is None else distinct[code] for code in column.indices.to_pylist()]
    if pa.types.is_timestamp(column.type) and column.type.tz is not None and _value(pa.scalar(0, column.type)) is None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))  # the moment does not depend on its zone
    try:
        values: list[Any] = column.to_pylist()
    except UNREADABLE:  # such as a time beyond the year 9999
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: pa.Scalar) -> Any:
    """The value in Python; one that it cannot say is unknown, and never costs its row."""
    try:
        return scalar.as_py()
    except UNREADABLE:
        return None
