"""Readers: foreign formats -> raw canonical rows. Pure functions; see docs/formats.md.

`read_traces` reads one file, whatever its format: good records become rows, every other record a reject
with its reason, line and remedy. Nothing is lost and nothing raises on bad content.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from assets.readers.base import (
    RAW_SCHEMA,
    READER_VERSION,
    Reader,
    ReadOptions,
    Reject,
    TraceRead,
    raw_frame,
    rejects_frame,
)
from assets.readers.inspect_ai import InspectAI
from assets.readers.litellm import LiteLLM
from assets.readers.openai_jsonl import OpenAIJsonl
from assets.readers.otlp_json import MLflowTraces, OtlpJson
from assets.readers.presets_schema import load_presets
from assets.readers.pricing_reversal import PricingReversal
from assets.readers.stream import head_of, is_whole
from assets.readers.tables import tables
from assets.readers.tabular import Tabular
from predictors.errors import DatasetError, InvalidInputError

__all__ = ["READERS", "READER_VERSION", "ReadOptions", "TraceRead", "detect", "read_tables", "read_traces"]

_TABLES: list[Reader] = [Tabular(name) for name in load_presets() if name != "canonical"]
_READERS: list[Reader] = [
    InspectAI(),
    PricingReversal(),
    OtlpJson(),
    MLflowTraces(),
    LiteLLM(),
    OpenAIJsonl(),
    *_TABLES,
    Tabular(),
]
READERS: dict[str, Reader] = {reader.name: reader for reader in _READERS}
"""Readers by name, the more particular formats first: the first that recognises a file reads it."""


def detect(path: Path | str) -> str | None:
    """Name the format of a file from its content; None if no reader recognises it.

    Raises
    ------
    DatasetError
        If there is no such file.
    """
    path = _existing(path)
    head = head_of(path)
    if not head.strip():
        return None
    return next((name for name, reader in READERS.items() if reader.sniff(head, path)), None)


def read_tables(
    path: Path | str,
    format: str | None = None,
    *,
    source: str | None = None,
    source_file: str | None = None,
    options: ReadOptions | None = None,
) -> tuple[str, Iterator[tuple[pa.Table, list[Reject]]]]:
    """Return the format and a stream of raw tables with their rejects; parameters as in `read_traces`."""
    path = _existing(path)
    if format is not None and format not in READERS:
        raise InvalidInputError(f"`format` must be one of {sorted(READERS)}, got {format!r}")
    name = format or detect(path)
    label = source_file or path.name
    if name is None:
        return "unknown", iter([(RAW_SCHEMA.empty_table(), [_unreadable(path)])])
    records = READERS[name].read(path, options or ReadOptions())
    return name, tables(records, source=source or name, source_file=label)


def read_traces(
    path: Path | str,
    format: str | None = None,
    *,
    source: str | None = None,
    source_file: str | None = None,
    options: ReadOptions | None = None,
) -> TraceRead:
    """Read one file of request traces.

    Parameters
    ----------
    path : path
        The file; ``.gz`` and ``.zst`` are decompressed on the way.
    format : str, optional
        A name in `READERS`. By default it is told from the content.
    source : str, optional
        First half of the key of every row. By default the name of the format.
    source_file : str, optional
        How messages name the file. By default its name without folders.
    options : ReadOptions, optional
        What else the caller knows: files delivered with this one, a column map.

    Raises
    ------
    DatasetError
        If there is no such file.
    InvalidInputError
        If `format` is no known format.
    """
    label = source_file or Path(path).name
    name, stream = read_tables(path, format, source=source, source_file=label, options=options)
    parts: list[pa.Table] = [RAW_SCHEMA.empty_table()]
    rejects: list[Reject] = []
    n_read = 0
    for table, bad in stream:
        parts.append(table)
        rejects += bad
        n_read += table.num_rows + len(bad)
    rows = raw_frame(pa.concat_tables(parts))
    return TraceRead(rows=rows, rejects=rejects_frame(rejects, label), n_read=n_read, format=name)


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give a file of one of the formats {sorted(READERS)}")
    return path


def _unreadable(path: Path) -> Reject:
    head = head_of(path)
    if not head.strip():
        why = "the file is empty" if is_whole(path) else "the compressed file is cut short before its first line"
        return Reject(why, 1, "deliver it again, or remove it", is_file=True)
    shown = head[:60].decode("utf-8", "replace").replace("\n", " ")
    remedy = f"name the format with --format, one of {', '.join(READERS)}"
    return Reject(f"the format is not recognised; it starts with {shown!r}", 1, remedy, is_file=True)
