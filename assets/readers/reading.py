"""`read_traces` reads one file, whatever its format: good records become rows, every other record a reject
with its reason, line and remedy. Nothing is lost and nothing raises on bad content.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from foretell.assets.readers.core.presets_schema import load_presets
from foretell.assets.readers.core.records import (
    RAW_SCHEMA,
    Reader,
    ReadOptions,
    Reject,
    TableReader,
    TraceRead,
    raw_frame,
    rejects_frame,
)
from foretell.assets.readers.core.secrets import shown_names
from foretell.assets.readers.core.stream import head_of, is_whole
from foretell.assets.readers.core.tables import tables
from foretell.assets.readers.curves.histories import MLflowRuns, TensorBoard, TrainingLog
from foretell.assets.readers.files.parquet_items import PARQUET_MAGIC
from foretell.assets.readers.public.pricing_reversal import PricingReversal
from foretell.assets.readers.scores.descriptions import Descriptions
from foretell.assets.readers.scores.lm_eval import LmEvalResults, LmEvalSamples
from foretell.assets.readers.scores.promptfoo import Promptfoo
from foretell.assets.readers.scores.table_columns import COLUMN_READERS
from foretell.assets.readers.traces.agent_sessions import AgentSessions, ClaudeCode, Codex
from foretell.assets.readers.traces.inspect_ai import InspectAI
from foretell.assets.readers.traces.litellm import LiteLLM
from foretell.assets.readers.traces.openai_jsonl import OpenAIJsonl
from foretell.assets.readers.traces.otlp_json import MLflowTraces, OtlpJson
from foretell.assets.readers.traces.tabular import Tabular, column_names
from foretell.predictors.errors import DatasetError, InvalidInputError

_READERS: list[Reader | TableReader] = [
    AgentSessions(ClaudeCode),
    AgentSessions(Codex),
    InspectAI(),
    LmEvalResults(),
    LmEvalSamples(),
    Promptfoo(),
    MLflowRuns(),
    TensorBoard(),
    PricingReversal(),
    OtlpJson(),
    MLflowTraces(),
    LiteLLM(),
    Tabular("langsmith"),
    OpenAIJsonl(),
    *(Tabular(name) for name in load_presets() if name != "canonical"),
    Tabular(),
    *COLUMN_READERS,
    TrainingLog(),
    Descriptions(),
]
READERS: dict[str, Reader | TableReader] = {reader.name: reader for reader in _READERS}
"""Readers by name, the more particular formats first: the first that recognises a file reads it."""


def detect(path: Path | str, columns: Mapping[str, str] | None = None) -> str | None:
    """Name the format of a file from its content, or from a column map; None if no reader recognises it.

    Raises `DatasetError` if there is no such file.
    """
    path = _existing(path)
    head = head_of(path)
    if not head.strip():
        return None
    if columns and (named := next((r.name for r in COLUMN_READERS if r.is_meant(head, path, columns)), None)):
        return named
    return next((name for name, reader in READERS.items() if reader.sniff(head, path)), None)


def is_trace_format(format: str) -> bool:
    """Whether files of this format hold requests."""
    return hasattr(READERS[format], "read")


def table_reader(format: str) -> TableReader | None:
    """The reader of a format that feeds other tables than `request_traces`; None where it feeds none."""
    reader = READERS[format]
    return reader if hasattr(reader, "rows") else None  # type: ignore[return-value]


def companions_of(path: Path, format: str | None) -> Sequence[Path]:
    """Files beside this one that are read with it."""
    companions = None if format is None else getattr(READERS[format], "companions", None)
    return () if companions is None else companions(path)


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
    reader = READERS[name]
    if not is_trace_format(name):
        raise InvalidInputError(f"{path}: a file of {name} holds no requests; `foretell ingest` takes it")
    records = reader.read(path, options or ReadOptions())  # type: ignore[union-attr]
    return name, tables(records, source=source or name, source_file=label, file_bytes=path.stat().st_size)


def read_traces(
    path: Path | str,
    format: str | None = None,
    *,
    source: str | None = None,
    source_file: str | None = None,
    options: ReadOptions | None = None,
) -> TraceRead:
    """Read one file of request traces; ``.gz`` and ``.zst`` are decompressed on the way.

    `format` is a name in `READERS`, by default told from the content; `source` is the first half of the key of every
    row, by default the format; messages name the file as `source_file`, by default its name without folders. Raises
    `DatasetError` if there is no such file, and `InvalidInputError` if the format is not known or holds no requests.
    """
    label = source_file or Path(path).name
    name, stream = read_tables(path, format, source=source, source_file=label, options=options)
    parts = list(stream)
    rows = raw_frame(pa.concat_tables([RAW_SCHEMA.empty_table(), *(table for table, _ in parts)]))
    rejects = rejects_frame([reject for _, bad in parts for reject in bad], label)
    return TraceRead(rows=rows, rejects=rejects, format=name)


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
    names = column_names(head, path)
    remedy = f"name the format with --format, one of {', '.join(READERS)}"
    if len(names) > 1:
        shown = ", ".join(shown_names(names, 8))
        remedy = f"say which of its columns ({shown}) are ours with --columns MAP.yaml, or name it with --format"
    return Reject(f"the format is not recognised; it is {_kind(head)}", 1, remedy, is_file=True)


def _kind(head: bytes) -> str:
    """What a file is, without quoting it."""
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive"
    if b"\0" in head or head.startswith(PARQUET_MAGIC):
        return "a Parquet table" if head.startswith(PARQUET_MAGIC) else "a binary file"
    return "JSON" if head.lstrip()[:1] in (b"{", b"[") else "text"
