"""Tables of requests as CSV, TSV, Parquet or JSONL, read through a column map.

The map is one of `foretell.assets.readers.presets` (found by the columns that the table has) or the caller's own.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from foretell.assets.readers.core.normalise import as_number, dig, epoch_us, first, normal_finish_reason, seconds
from foretell.assets.readers.core.presets_schema import Preset, load_presets, preset_of
from foretell.assets.readers.core.records import ReadOptions, Record, Reject, Row, records_of
from foretell.assets.readers.core.requests import prompt_columns
from foretell.assets.readers.core.secrets import described, shown_names, word
from foretell.assets.readers.core.settings import settings_of_text
from foretell.assets.readers.core.spans import parsed
from foretell.assets.readers.core.stream import head_of, json_lines
from foretell.assets.readers.core.usage import UsageError, tokens_of, tokens_of_parts
from foretell.assets.readers.fast.memo import Memo
from foretell.assets.readers.files.csv_items import csv_items, csv_names
from foretell.assets.readers.files.parquet_items import PARQUET_MAGIC, parquet_items, parquet_names
from foretell.assets.readers.traces.openai_jsonl import content_id

_FIELD = re.compile(r"\{([^{}]+)\}")
_LIST = re.compile(rb'\s*(?:\{\s*"(?:data|runs)"\s*:\s*)?\[\s*(?=\{)')
_KEY = re.compile(rb'"(\w+)"\s*:')
_OTHER = "give a column map with --columns, or name another format with --format"
_parsed = partial(parsed, starts=("{", "["))
Item = tuple[int, dict[str, Any]]


class Tabular:
    """Reader of tables; a preset by name, or any of them found by the columns."""

    def __init__(self, preset: str | None = None) -> None:
        self.name = preset or "tabular"
        self._preset = preset

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if the columns are those of the preset (of any preset)."""
        return self._fitting(column_names(head, path)) is not None

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the rows."""
        names = column_names(head_of(path), path)
        preset = self._fitting(names)
        if options.columns:
            preset = preset_of(options.columns)
        elif preset is not None:
            preset = preset.as_spelt(names)
        elif self._preset is not None:
            preset = load_presets()[self._preset]
        if preset is None:
            yield Reject(f"no known table, columns {shown_names(names, 8)}", 1, _OTHER, is_file=True)
            return
        yield from records_of(table_items(path), _Rows(preset, path, options).records)

    def _fitting(self, names: set[str]) -> Preset | None:
        presets = load_presets()
        chosen = [presets[self._preset]] if self._preset else list(presets.values())
        return next((preset for preset in chosen if preset.fits(names)), None)


class _Rows:
    """Applies a column map to the records of one file."""

    def __init__(self, preset: Preset, path: Path, options: ReadOptions) -> None:
        self._preset, self._file = preset, path.name
        self._origin = None if options.date is None else int(pd.Timestamp(options.date, tz="UTC").timestamp() * 1e6)
        self._seen: Counter[bytes] = Counter()
        self._prompts: Memo[Row] = Memo(_prompt_columns, size=lambda key: sum(len(part) for part in key if part))

    def records(self, number: int, item: dict[str, Any]) -> Iterator[Record]:
        """Read one record, which is passed over if it is no request."""
        preset = self._preset
        if any(str(_value(item, column)) != wanted for column, wanted in preset.where.items()):
            return
        failed, status = preset.failed, _value(item, preset.failed.column) if preset.failed else None
        count = as_number(status)
        is_bad = isinstance(status, str) if count is None else failed and not failed.at_most < count < failed.at_least
        if failed and is_bad:
            why = f"a failed call: {failed.column} is {word(str(status)) or described(status)}"
            yield Reject(why, number, "nothing was measured; leave it out")
            return
        named = {"source_file": self._file, "source_line": number}
        values = {column: self._one(item, source, named) for column, source in preset.columns.items()}
        row: Row = {**preset.constants, **{k: v for k, v in values.items() if v is not None}, "source_line": number}
        try:
            row |= self._usage(item)
        except UsageError as error:
            yield Reject(str(error), number, "correct the usage at its source")
            return
        self._scale(row)
        self._finish(row, item)
        yield row

    def _scale(self, row: Row) -> None:
        """Bring numbers to their unit and estimated tokens to whole ones."""
        for column, factor in self._preset.scale.items():
            value = as_number(row.get(column))
            row[column] = None if value is None else value * factor
        whole = as_number(row.get("output_tokens"))
        for column in self._preset.estimates:
            if (value := as_number(row.get(column))) is not None:
                # One that is more than the whole of which it is a part has failed.
                row[column] = None if whole is not None and round(value) > whole else round(value)

    def _one(self, item: dict[str, Any], source: str | list[str], named: dict[str, Any]) -> Any:
        if isinstance(source, list):
            return next((v for name in source if (v := self._one(item, name, named)) is not None), None)
        if "{" in source:
            return _FIELD.sub(lambda match: str({**item, **named}.get(match[1], "")), source)
        return _value(item, source)

    def _usage(self, item: dict[str, Any]) -> Row:
        preset = self._preset
        if preset.usage_parts:
            parts = _parsed(_value(item, preset.usage_parts))
            if isinstance(parts, list) and _are_pairs(parts):  # Parquet keeps a map as pairs
                parts = dict(parts)
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
        messages, text = row.pop("messages", None), row.get("prompt_text")
        if messages is not None or text is not None:
            query_id = row.get("query_id")
            row |= self._prompt(messages, None if text is None else str(text))
            row |= {"query_id": query_id} if query_id else {}
        row["settings"] = settings_of_text(row.get("settings"))
        if row.get("request_id") is None:
            row["request_id"] = content_id(item, self._seen)

    def _prompt(self, messages: Any, text: str | None) -> Row:
        """Columns of a prompt; rows repeat their prompts, and a table may hold a long one many times."""
        if messages is not None and not isinstance(messages, str):
            return _prompt_columns((messages, text))
        key = (messages, text)
        return self._prompts.all([key], [key])[0]


def _prompt_columns(prompt: tuple[Any, str | None]) -> Row:
    messages, text = _parsed(prompt[0]), prompt[1]
    if isinstance(messages, dict):
        messages = first(messages.get("messages"), messages.get("input"), messages.get("prompt"))
    return prompt_columns(messages, prompt=text)


def _value(item: dict[str, Any], name: str) -> Any:
    """Value of a column, or of a path into the JSON that a column holds; empty text is no value."""
    if name in item:
        return None if item[name] == "" or item[name] is pd.NA else item[name]
    value: Any = item
    for key in name.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, list) and _are_pairs(value):
            value = dict(value).get(key)
        else:
            value = dig(value, key)
        value = _parsed(value)
    return None if value == "" else value


def _are_pairs(values: list[Any]) -> bool:
    return all(isinstance(pair, tuple) and len(pair) == 2 for pair in values)


def column_names(head: bytes, path: Path) -> set[str]:
    if head[:4] == PARQUET_MAGIC:
        return parquet_names(path)
    line = head.split(b"\n", 1)[0].strip()
    if line[:1] not in (b"{", b"["):
        return csv_names(line)
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        if (start := _LIST.match(head)) is None:
            return set()
        try:  # one document, of which the head is a part: its first record
            value = json.JSONDecoder().raw_decode(head[start.end() :].decode("utf-8", "replace"))[0]
        except (ValueError, RecursionError):
            return {name.decode("utf-8", "replace") for name in _KEY.findall(head)}
    records = value if isinstance(value, list) else _records(value)
    return set(records[0]) if records and isinstance(records[0], dict) else set()


def _records(value: Any) -> list[Any]:
    """The records of a value: of what an API answers, those under ``data`` or ``runs``; else the value itself."""
    for name in ("data", "runs"):
        if isinstance(held := dig(value, name), list) and set(value) <= {name, "meta", "cursors", "parsed_query"}:
            return held
    return [value]


def table_items(path: Path) -> Iterator[Item | Reject]:
    head = head_of(path)
    if head[:4] == PARQUET_MAGIC:
        return parquet_items(path)
    return records_of(json_lines(path), _objects) if head.lstrip()[:1] in (b"{", b"[") else csv_items(path)


def _objects(number: int, value: Any) -> Iterator[Item | Reject]:
    for record in _records(value):
        is_row = isinstance(record, dict)
        yield (number, record) if is_row else Reject(f"a JSON {type(record).__name__}, not an object", number, _OTHER)
