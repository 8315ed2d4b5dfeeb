"""Tables of requests as CSV, TSV, Parquet or JSONL, read through a column map.

The map is one of `assets.readers.presets` (found by the columns that the table has) or the caller's own.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assets.readers.base import ReadOptions, Record, Reject, Row
from assets.readers.normalise import as_number, dig, epoch_us, first, normal_finish_reason, seconds
from assets.readers.openai_jsonl import content_id
from assets.readers.presets_schema import Preset, load_presets, preset_of
from assets.readers.requests import prompt_columns
from assets.readers.stream import CHUNK_BYTES, CutShortError, chunks, head_of, json_lines, loads
from assets.readers.usage import UsageError, tokens_of, tokens_of_parts

__all__ = ["Tabular"]

PARQUET_MAGIC = b"PAR1"
csv.field_size_limit(1 << 24)  # prompts are longer than the 128 KiB that are the default
_FIELD = re.compile(r"\{([^{}]+)\}")
_OTHER = "give a column map with --columns, or name another format with --format"
Item = tuple[int, dict[str, Any]]


class Tabular:
    """Reader of tables; a preset by name, or any of them found by the columns."""

    def __init__(self, preset: str | None = None) -> None:
        self.name = preset or "tabular"
        self._preset = preset

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if the columns are those of the preset (of any preset)."""
        return self._found(_column_names(head, path)) is not None

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the rows."""
        names = _column_names(head_of(path), path)
        preset = preset_of(options.columns) if options.columns else self._found(names)
        if preset is None and self._preset is not None:
            preset = load_presets()[self._preset]
        if preset is None:
            yield Reject(f"no known table, columns {sorted(names)[:8]}", 1, _OTHER, is_file=True)
            return
        rows = _Rows(preset, path, options)
        for item in _items(path):
            if isinstance(item, Reject):
                yield item
            elif (record := rows.record(*item)) is not None:
                yield record

    def _found(self, names: set[str]) -> Preset | None:
        presets = load_presets()
        chosen = [presets[self._preset]] if self._preset else list(presets.values())
        return next((preset for preset in chosen if preset.fits(names)), None)


class _Rows:
    """Applies a column map to the records of one file."""

    def __init__(self, preset: Preset, path: Path, options: ReadOptions) -> None:
        self._preset, self._file = preset, path.name
        self._origin = None if options.date is None else int(pd.Timestamp(options.date, tz="UTC").timestamp() * 1e6)
        self._seen: Counter[bytes] = Counter()

    def record(self, number: int, item: dict[str, Any]) -> Record | None:
        preset = self._preset
        if any(str(_value(item, column)) != wanted for column, wanted in preset.where.items()):
            return None
        if preset.failed is not None and _has_failed(preset, item):
            return Reject(f"a failed call: {preset.failed.column} is {item.get(preset.failed.column)}", number,
                          "nothing was measured; leave it out")  # fmt: skip
        named = {"source_file": self._file, "source_line": number}
        found = {column: self._one(item, source, named) for column, source in preset.columns.items()}
        row: Row = {**preset.constants, **{k: v for k, v in found.items() if v is not None}, "source_line": number}
        try:
            row |= self._usage(item)
        except UsageError as error:
            return Reject(str(error), number, "correct the usage at its source")
        for column, factor in preset.scale.items():
            number_found = as_number(row.get(column))
            row[column] = None if number_found is None else number_found * factor
        for column in preset.estimates:
            number_found = as_number(row.get(column))
            row[column] = row.get(column) if number_found is None else round(number_found)
            whole = as_number(row.get("output_tokens"))
            if number_found is not None and whole is not None and round(number_found) > whole:
                row[column] = None  # more than the whole of which it is a part: the estimate has failed
        self._finish(row, item)
        return row

    def _one(self, item: dict[str, Any], source: str | list[str], named: dict[str, Any]) -> Any:
        if isinstance(source, list):
            return next((v for name in source if (v := self._one(item, name, named)) is not None), None)
        if "{" in source:
            return _FIELD.sub(lambda match: str({**item, **named}.get(match[1], "")), source)
        return _value(item, source)

    def _usage(self, item: dict[str, Any]) -> Row:
        preset = self._preset
        parts = _parsed(_value(item, preset.usage_parts)) if preset.usage_parts else None
        if isinstance(parts, list):  # Parquet keeps a map as pairs
            parts = dict(parts)
        if preset.usage_parts:
            if not isinstance(parts, dict) or not parts:
                raise UsageError("the row carries no usage")
            return tokens_of_parts(parts)
        block = _parsed(_value(item, preset.usage)) if preset.usage else None
        return {k: v for k, v in tokens_of(block).items() if v is not None} if isinstance(block, dict) and block else {}

    def _finish(self, row: Row, item: dict[str, Any]) -> None:
        relative = self._preset.relative_time
        started = epoch_us(row.get("started_at"))
        if relative is not None and self._origin is not None:
            offset = as_number(item.get(relative.column))
            started = None if offset is None else self._origin + round(offset * relative.seconds * 1e6)
        row["started_at"] = started
        for column, until in (("latency_s", "ended_at"), ("time_to_first_token_s", "first_token_at")):
            end = epoch_us(row.pop(until, None))
            if row.get(column) is None and end is not None and started is not None:
                row[column] = seconds(end - started, unit=1e-6)
        row["finish_reason"] = normal_finish_reason(row.get("finish_reason"))
        row["model"] = first(row.get("model"), row.get("request_model"), row.get("response_model"))
        messages = _parsed(row.pop("messages", None))
        if isinstance(messages, dict):
            messages = first(messages.get("messages"), messages.get("input"), messages.get("prompt"))
        if messages is not None or row.get("prompt_text") is not None:
            text = row.get("prompt_text")
            told = {key: row[key] for key in ("query_id",) if row.get(key)}
            row |= prompt_columns(messages, prompt=None if text is None else str(text)) | told
        if row.get("request_id") is None:
            row["request_id"] = content_id(item, self._seen)
        for column in ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens",
                       "total_tokens", "max_tokens", "seed", "replicate"):  # fmt: skip
            number = as_number(row.get(column))
            if number is not None and number.is_integer():
                row[column] = int(number)


def _has_failed(preset: Preset, item: dict[str, Any]) -> bool:
    assert preset.failed is not None
    number = as_number(item.get(preset.failed.column))
    if number is None:
        return False
    at_least, at_most = preset.failed.at_least, preset.failed.at_most
    return (at_least is not None and number >= at_least) or (at_most is not None and number <= at_most)


def _value(item: dict[str, Any], name: str) -> Any:
    """Value of a column, or of a path into the JSON that a column holds; empty text is no value."""
    if name in item:
        value = item[name]
        return None if value == "" or value is pd.NA else value
    head, _, rest = name.partition(".")
    if not rest or head not in item:
        return None
    value = _parsed(item[head])
    for key in rest.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
            value = dict(value).get(key)
        else:
            value = dig(value, key)
        value = _parsed(value)
    return None if value == "" else value


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return loads(value.encode("utf-8", "replace"))
        except ValueError:
            return value
    return value


def _column_names(head: bytes, path: Path) -> set[str]:
    if head[:4] == PARQUET_MAGIC:
        try:
            return set(pq.read_schema(path).names)
        except (pa.ArrowException, OSError):
            return set()
    line = head.split(b"\n", 1)[0].strip()
    if line[:1] in (b"{", b"["):
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            return set()
        value = value[0] if isinstance(value, list) and value else value
        return set(value) if isinstance(value, dict) else set()
    text = line.decode("utf-8", "replace")
    try:
        return {name.strip() for name in next(csv.reader([text], delimiter=_delimiter(text)), [])}
    except csv.Error:
        return set()


def _delimiter(header: str) -> str:
    return max(",\t;|", key=header.count)


def _items(path: Path) -> Iterator[Item | Reject]:
    head = head_of(path)
    if head[:4] == PARQUET_MAGIC:
        return _parquet(path)
    return _json(path) if head.lstrip()[:1] in (b"{", b"[") else _csv(path)


def _json(path: Path) -> Iterator[Item | Reject]:
    for item in json_lines(path):
        if isinstance(item, Reject):
            yield item
        elif isinstance(item[1], dict):
            yield item[0], item[1]
        else:
            yield Reject(f"a JSON {type(item[1]).__name__}, not an object", item[0], _OTHER)


def _parquet(path: Path) -> Iterator[Item | Reject]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=5_000):
                for item in batch.to_pylist():
                    number += 1
                    yield number, item
    except (pa.ArrowException, OSError) as error:
        why = f"the parquet file is damaged after row {number} ({str(error)[:80]})"
        yield replace(Reject(why, number + 1, "deliver the file again"), is_file=number == 0)


class _Decompressed(io.RawIOBase):
    """The decompressed bytes of a file as a stream; remembers that the file was cut short."""

    def __init__(self, path: Path) -> None:
        self._chunks = chunks(path)
        self._rest = b""
        self.cut: CutShortError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
            except CutShortError as error:
                self.cut = error
                return 0
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def _csv(path: Path) -> Iterator[Item | Reject]:
    raw = _Decompressed(path)
    text = io.TextIOWrapper(io.BufferedReader(raw, CHUNK_BYTES), "utf-8-sig", errors="replace", newline="")
    header_line = text.readline()
    delimiter = _delimiter(header_line)
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    reader = csv.reader(text, delimiter=delimiter)
    pending: Item | Reject | None = None  # held back by one: the last row of a cut file may be half of one
    last = 1
    while True:
        start = last + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            item: Item | Reject = Reject(f"not CSV: {error}", start, "is a quote left open?")
        else:
            item = _csv_item(start, header, fields)
        last = reader.line_num + 1
        if pending is not None:
            yield pending
        pending = item if not isinstance(item, tuple) or item[1] else None
    if raw.cut is not None:
        line = last + 1 if pending is None else (pending[0] if isinstance(pending, tuple) else pending.source_line)
        yield Reject(f"{raw.cut}: line {line} and what follows are lost", line, "deliver the file again")
    elif pending is not None:
        yield pending


def _csv_item(number: int, header: list[str], fields: list[str]) -> Item | Reject:
    if fields and len(fields) != len(header):
        why = f"{len(fields)} fields where the header has {len(header)}"
        return Reject(why, number, "is a quote left open, or was the file cut short?")
    return number, dict(zip(header, fields, strict=False))
