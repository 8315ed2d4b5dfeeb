"""Take `request_traces` elsewhere: parquet, CSV, JSONL or OTLP JSON; and query the lake with SQL."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from foretell.assets.readers.core.spans import ALIASES, FIRST_TOKEN
from foretell.assets.store.permissions import umask_of_the_caller
from foretell.assets.store.spreadsheets import without_formulas
from foretell.predictors.errors import DatasetError, InvalidInputError

EXPORT_FORMATS = ("parquet", "csv", "jsonl", "otlp_json")
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SPANS_PER_BATCH = 500
LOCKED = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET lock_configuration = true",
)

_SAID = (
    "provider", "request_model", "response_model", "temperature", "top_p", "max_tokens", "seed", "reasoning_effort",
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "service_tier",
    "cost_reported_usd",
)  # fmt: skip
_CONVENTIONS = {column: ALIASES[column][0] for column in _SAID} | {"time_to_first_token_s": next(iter(FIRST_TOKEN))}
"""Column -> attribute of the OpenTelemetry GenAI conventions, the first that the reader of spans looks for."""
# The conventions have no word for these.
_OWN = (
    "source", "request_id", "query_id", "replicate", "benchmark", "item_id", "score", "repeat_prob",
    "project", "key_name", "answer_logprob",
)  # fmt: skip


def export_traces(traces: pd.DataFrame, path: Path | str, format: str | None = None) -> Path:
    """Write a table of requests; a file that is there is replaced at once or not at all.

    In csv an apostrophe stands before texts that a spreadsheet would compute; the other formats keep every byte. The
    format, one of `EXPORT_FORMATS`, is told from the suffix of `path` by default. Raises `InvalidInputError` if the
    format is not known.
    """
    path = Path(path)
    chosen = format or _SUFFIXES.get(path.suffix.lower())
    if chosen not in EXPORT_FORMATS:
        raise InvalidInputError(f"`format` must be one of {list(EXPORT_FORMATS)}, got {format or path.suffix!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with umask_of_the_caller(), tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / "part"
        if chosen == "parquet":
            traces.to_parquet(part, index=False)
        elif chosen == "csv":
            without_formulas(traces).to_csv(part, index=False, date_format="%Y-%m-%dT%H:%M:%S.%f%z")
        else:
            lines = (orjson.dumps(row, default=str) + b"\n" for row in _plain_rows(traces))
            with part.open("wb") as file:
                file.writelines(lines if chosen == "jsonl" else to_otlp_json(traces))
        part.replace(path)
    return path


def to_otlp_json(traces: pd.DataFrame) -> Iterator[bytes]:
    """Yield lines of OTLP JSON, one export batch each; what the conventions lack is written as ``foretell.*``."""
    spans = map(_span, _plain_rows(traces))
    while batch := list(islice(spans, SPANS_PER_BATCH)):
        scope = {"scope": {"name": "foretell"}, "spans": batch}
        yield orjson.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}) + b"\n"


def _plain_rows(traces: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    """Rows as Python values; null where a value is unknown, and no key more."""
    for start in range(0, len(traces), 10_000):
        part = traces.iloc[start : start + 10_000]
        plain = part.astype(object).where(part.notna(), None)
        yield from plain.to_dict("records")


def _span(row: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    attributes |= {key: row.get(column) for column, key in _CONVENTIONS.items()}
    attributes |= {f"foretell.{column}": row.get(column) for column in _OWN}
    attributes["gen_ai.request.model"] = row.get("request_model") or row.get("model")
    if row.get("finish_reason") is not None:
        attributes["gen_ai.response.finish_reasons"] = [row["finish_reason"]]
    if row.get("prompt_text") is not None:
        message = {"role": "user", "parts": [{"type": "text", "content": row["prompt_text"]}]}
        attributes["gen_ai.input.messages"] = json.dumps([message])
    digest = hashlib.sha256(f"{row.get('source')}/{row.get('request_id')}".encode()).hexdigest()
    start = None if row.get("started_at") is None else int(row["started_at"].value)
    span: dict[str, Any] = {
        "traceId": row.get("trace_id") or digest[:32],
        "spanId": digest[32:48],
        "name": f"chat {attributes['gen_ai.request.model']}",
        "kind": 3,
        "attributes": [{"key": k, "value": _value(v)} for k, v in attributes.items() if v is not None],
        "status": {},
    }
    if start is not None:
        span["startTimeUnixNano"] = str(start)
        if row.get("latency_s") is not None:
            span["endTimeUnixNano"] = str(start + round(row["latency_s"] * 1e9))
    return span


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64-bit integers are text in OTLP JSON
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}


def lake_tables(lake: Path) -> dict[str, list[Path]]:
    """The parquet files of each table of the lake: one, or one per partition."""
    if not lake.is_dir():
        raise DatasetError(f"{lake}: no lake here yet; run `make demo` or `foretell ingest` first")
    tables: dict[str, list[Path]] = {}
    for path in sorted(lake.glob("[!.]*/*.parquet")):
        tables.setdefault(path.parent.name, []).append(path)
    return dict(sorted({**tables, **{path.stem: [path] for path in lake.glob("[!.]*.parquet")}}.items()))


def connect_lake(lake: Path) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with the tables of the lake, to be queried with SQL.

    Queries reach these tables and nothing else: no file, no network, no extension; and no query can change that.
    """
    connection = duckdb.connect(config={"python_enable_replacements": "false"})
    # DuckDB could be allowed the folder of the lake, but then to write there too. So Arrow reads, and verifies.
    for name, files in lake_tables(lake).items():
        connection.register(name, _dataset(files))
    for statement in LOCKED:
        connection.execute(statement)
    return connection


def _dataset(files: Sequence[Path]) -> ds.Dataset:
    """One table over its files: columns by name, as DuckDB's `union_by_name`."""
    schemas = []
    for file in files:
        try:
            schemas.append(pq.read_schema(file))
        except pa.ArrowInvalid as error:
            raise DatasetError(f"{file}: damaged ({error}); make it again (docs/operations.md)") from error
    verified = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return ds.dataset(
        [str(file) for file in files],
        schema=pa.unify_schemas(schemas, promote_options="permissive"),
        format=ds.ParquetFileFormat(default_fragment_scan_options=verified),
    )
