"""Records to tables: in batches, typed, with every impossible value told.

Records of a common form (`Packed`) are read column by column, all others one by one; both come out the
same. What a form cannot vouch for is split until the odd records stand alone and are read one by one.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foretell.assets.readers.core.normalise import as_number
from foretell.assets.readers.core.records import (
    RAW_SCHEMA,
    TOKEN_COLUMNS,
    UNREADABLE,
    Columns,
    Form,
    NotCommonError,
    Record,
    Reject,
    Row,
    Single,
    clean_text,
    unreadable,
)
from foretell.assets.readers.core.secrets import described, is_word, scrub, scrub_column

IMPLAUSIBLE_TOKENS = 10**12
BATCH_ROWS = 10_000
BATCH_BYTES = 64 << 20
"""Records held at once: as many, or as many as have texts of this size together."""
MAX_TEXT_BYTES = 128 << 20
MAX_TEXT_RATIO = 200
"""Texts of one file that are kept: `MAX_TEXT_BYTES`, or `MAX_TEXT_RATIO` times its size. Of a packed file that holds
more, the remaining records are rejected: they would fill the memory of all that reads a day at once."""

_IDS = {"source", "request_id", "trace_id", "query_id", "item_id", "source_file"}
_WORDS = {"reasoning_effort", "finish_reason", "service_tier"}
_STRICT = {*TOKEN_COLUMNS, "cost_reported_usd"}
_TAKEN_WRONGLY = {pa.float64(): bool, pa.int64(): float}
"""Arrow takes True for 1.0 and 5.5 for 5, but a setting of True is no number, and half a token no count."""
_TOO_MUCH = "the texts of this file unpack to more than is kept of one file of its size"
_REMEDY = "correct the record at its source; a count that is unknown must be absent or null"


def tables(
    records: Iterator[Record],
    *,
    source: str,
    source_file: str,
    batch_rows: int = BATCH_ROWS,
    file_bytes: int | None = None,
) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """Gather a stream of records into tables of at most `batch_rows` rows, so that memory stays flat.

    Where the size of their file is given, its texts are bounded too (`MAX_TEXT_BYTES`).
    """
    is_empty = True
    left = np.inf if file_bytes is None else max(MAX_TEXT_BYTES, MAX_TEXT_RATIO * file_bytes)
    while True:
        with _without_collector():
            batch, n_bytes = _batch(records, batch_rows, left)
            if not batch:
                break
            left -= n_bytes
            table, rejects = _read_batch(batch, source, source_file)
            rejects = [replace(reject, reason=scrub(reject.reason)) for reject in rejects]
            del batch
        is_empty = False
        yield table, rejects
    if is_empty:
        nothing = Reject("the file holds no request to a model", 1, "name another format with --format", is_file=True)
        yield RAW_SCHEMA.empty_table(), [nothing]


def _batch(records: Iterator[Record], n_rows: int, left: float) -> tuple[list[Record], int]:
    """The next records, and the bytes of their texts; those whose texts exceed what is left are rejects."""
    batch: list[Record] = []
    total = 0
    for record in islice(records, n_rows):
        size = record[3] if isinstance(record, tuple) else _text_bytes(record)
        if total + size > left:
            line = record[1] if isinstance(record, tuple) else record["source_line"]  # type: ignore[index]
            batch.append(Reject(_TOO_MUCH, line, "deliver the file in parts, or without the texts of its prompts"))
            continue
        batch.append(record)
        total += size
        if total >= BATCH_BYTES:
            break
    return batch, total


def _text_bytes(record: Single) -> int:
    text = None if isinstance(record, Reject) else record.get("prompt_text")
    return len(text) if isinstance(text, str) else 0


@contextmanager
def _without_collector() -> Iterator[None]:
    """Parsed JSON has no cycles, and looking for some among its many small objects would double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_batch(batch: list[Record], source: str, source_file: str) -> tuple[pa.Table, list[Reject]]:
    rows: dict[int, Row] = {}
    rejects: dict[int, Reject] = {}
    packed: dict[Form, list[tuple[int, int, Any]]] = {}
    for position, record in enumerate(batch):
        if isinstance(record, tuple):
            form, number, value, _ = record
            packed.setdefault(form, []).append((position, number, value))
        elif isinstance(record, Reject):
            rejects[position] = record
        else:
            rows[position] = record
    parts: list[tuple[Sequence[int], Columns]] = []
    for form, records in packed.items():
        for positions, columns in unpacked(form, records):
            if isinstance(columns, Reject):
                rejects[positions[0]] = columns
            elif len(positions) == 1:
                rows[positions[0]] = columns
            else:
                parts.append((positions, columns))
    if rows or not parts:
        names = RAW_SCHEMA.names
        parts.append((list(rows), {name: [row.get(name) for row in rows.values()] for name in names}))
    faults: dict[int, list[str]] = {}
    made = [_typed(positions, columns, source, source_file, faults) for positions, columns in parts]
    table = made[0] if len(made) == 1 else pa.concat_tables(made)
    order = np.concatenate([np.asarray(positions, dtype=np.int64) for positions, _ in parts])
    if (order[1:] < order[:-1]).any():
        table, order = table.take(pa.array(np.argsort(order))), np.sort(order)
    if not faults:
        return table, [rejects[i] for i in sorted(rejects)]
    bad = np.isin(order, list(faults))
    lines = dict(zip(order[bad].tolist(), table.filter(pa.array(bad)).column("source_line").to_pylist(), strict=True))
    broken = [Reject("; ".join(why), lines[i], _REMEDY) for i, why in sorted(faults.items())]
    return table.filter(pa.array(~bad)), [rejects[i] for i in sorted(rejects)] + broken


def unpacked(form: Form, records: list[tuple[int, int, Any]]) -> Iterator[tuple[list[int], Columns | Single]]:
    """Read ``(position, line, content)`` of one form: as columns, or as single rows where these are in doubt."""
    if len(records) == 1:
        ((position, number, value),) = records
        try:
            yield [position], form.record(value, number)
        except UNREADABLE as error:
            yield [position], unreadable(number, error)
        return
    positions, numbers, values = (list(part) for part in zip(*records, strict=True))
    try:
        yield positions, {**form.columns(values, numbers), "source_line": numbers}
    except (NotCommonError, *UNREADABLE):
        half = len(records) // 2
        yield from unpacked(form, records[:half])
        yield from unpacked(form, records[half:])


def _typed(
    positions: Sequence[int], columns: Columns, source: str, source_file: str, faults: dict[int, list[str]]
) -> pa.Table:
    """Table of all rows; `faults` gets the reasons against some of them by position."""
    arrays: list[pa.Array] = []
    for column in RAW_SCHEMA:
        values = columns.get(column.name)
        default = {"source": source, "source_file": source_file}.get(column.name)
        if values is None:
            arrays.append(pa.repeat(pa.scalar(default, column.type), len(positions)))
        else:
            told = values if default is None else [value or default for value in values]
            array = _array(told, column, positions, faults)
            arrays.append(_kept_text(array, column.name) if column.type == pa.string() else array)
    return pa.Table.from_arrays(arrays, schema=RAW_SCHEMA)


def _array(
    values: list[Any] | pa.Array, column: pa.Field, positions: Sequence[int], faults: dict[int, list[str]]
) -> pa.Array:
    is_tokens = column.name in TOKEN_COLUMNS
    try:
        array = values if isinstance(values, pa.Array) else pa.array(values, type=column.type, from_pandas=False)
        is_sure = array is values or _TAKEN_WRONGLY.get(column.type) not in set(map(type, values))
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        is_sure = False  # some value has another type: convert one by one
    if is_sure and not (is_tokens and _beyond(array)):
        return array
    convert = _CONVERT[column.type]
    converted = []
    for position, value in zip(positions, values.to_pylist() if isinstance(values, pa.Array) else values, strict=True):
        number = None
        if value is not None:
            number = convert(value)
            wrong = number is None or (is_tokens and abs(number) > IMPLAUSIBLE_TOKENS)
            if wrong and column.name in _STRICT:
                faults.setdefault(position, []).append(
                    f"{column.name} is {described(value)}, not a whole number"
                    if is_tokens
                    else f"{column.name} is {described(value)}"
                )
                number = None
        converted.append(number)
    return pa.array(converted, type=column.type, from_pandas=False)


def _kept_text(array: pa.Array, name: str) -> pa.Array:
    """Texts without secrets; where a word belongs, such as a reason to stop, no other text."""
    if name in _IDS:
        return array
    if name in _WORDS:
        words = {value: value if is_word(value) else None for value in pc.unique(array).to_pylist()}
        if all(key == value for key, value in words.items()):
            return array
        return pa.array([words[value] for value in array.to_pylist()], pa.string())
    return scrub_column(array)


def _beyond(array: pa.Array) -> bool:
    extremes = pc.min_max(array).as_py()
    return any(value is not None and abs(value) > IMPLAUSIBLE_TOKENS for value in extremes.values())


def _as_text(value: Any) -> str | None:
    return clean_text(value) if isinstance(value, str) else (None if isinstance(value, dict | list) else str(value))


def _as_int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, int):
        number = as_number(value)
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
    pa.float64(): as_number,
    pa.int64(): _as_int,
    pa.timestamp("us", "UTC"): _as_int,
    pa.bool_(): _as_bool,
}
