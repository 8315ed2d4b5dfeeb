"""Requests that were not sent yet: chat JSONL, batch input, a table, or an Inspect log to send to another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from assets.readers.requests import request_columns
from predictors.errors import InvalidInputError

__all__ = ["read_requests"]

SUFFIXES = (".csv", ".jsonl", ".parquet", ".eval", ".json")
_CONTENT = ("messages", "input", "contents", "prompt")
_OF_REQUEST = ("query_id", "prompt_text", "benchmark", "input_tokens", "temperature", "top_p", "max_tokens")
_OF_LOG = (
    *_OF_REQUEST, "replicate", "model", "reasoning_effort", "output_tokens", "reasoning_tokens", "score",
    "finish_reason",
)  # fmt: skip


def read_requests(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read requests in the order of the file.

    A JSONL line is a chat request (``messages``), a line of batch input (``body``), a logged call
    (``request``), or an object of our own columns (``prompt_text``, ``max_tokens``, ...). An Inspect log gives one
    request per sample and epoch, and its runs are what is known of each query: the forecast for another model is warm.

    Parameters
    ----------
    file : Path
        csv, parquet, jsonl, or Inspect's eval or json.

    Returns
    -------
    requests : DataFrame
        One row per readable request; index is the line (JSONL), the row (tables) or the place in the log, from 1.
    problems : list of str
        A line per request that cannot be read: file, line, what is wrong.

    Raises
    ------
    InvalidInputError
        If the file is missing, of another kind, or holds no request at all.
    """
    if file.suffix not in SUFFIXES:
        raise InvalidInputError(f"{file}: expected one of {list(SUFFIXES)}, got {file.suffix or 'no suffix'!r}")
    if not file.is_file():
        raise InvalidInputError(f"{file}: no such file")
    try:
        if file.suffix == ".jsonl":
            requests, problems = _read_jsonl(file)
        elif file.suffix in (".eval", ".json"):
            requests, problems = _read_log(file)
        else:
            requests, problems = _read_table(file), []
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except (ValueError, OSError) as error:
        raise InvalidInputError(f"{file}: {error}") from error
    if requests.empty:
        raise InvalidInputError("; ".join([f"{file}: holds no request", *problems[:3]]))
    return requests, problems


def _read_table(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="request"))


def _read_log(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Samples of an Inspect log as requests, with the log's own runs as what is known of their query."""
    from assets.readers.base import ReadOptions, Reject
    from assets.readers.inspect_ai import InspectAI
    from predictors.thinking_tokens.context import attach_context

    rows, problems = [], []
    for record in InspectAI().read(file, ReadOptions()):
        if isinstance(record, Reject):
            problems.append(f"{file}: sample {record.source_line}: {record.reason}; {record.remedy}")
        else:
            rows.append({name: record.get(name) for name in _OF_LOG})
    runs = pd.DataFrame(rows, columns=list(_OF_LOG))
    if runs.empty:
        return runs, problems
    runs["output_tokens"] = pd.to_numeric(runs["output_tokens"], errors="coerce")
    runs["is_censored"] = runs["finish_reason"] == "length"
    requests = runs.drop_duplicates(["query_id", "replicate"])
    requests = requests.set_axis(pd.RangeIndex(1, len(requests) + 1, name="request"))
    known = runs[runs["output_tokens"].notna()]
    # The effort of the log belongs to its model: another one has names of its own.
    return attach_context(requests[list(_OF_REQUEST)].assign(model=""), known).drop(columns="model"), problems


def _read_jsonl(file: Path) -> tuple[pd.DataFrame, list[str]]:
    from assets.readers.base import Reject
    from assets.readers.stream import json_lines

    rows: dict[int, dict[str, Any]] = {}
    problems = []
    for item in json_lines(file):
        if isinstance(item, Reject):
            problems.append(f"{file}:{item.source_line}: {item.reason}; {item.remedy}")
            continue
        number, line = item
        row = _row(line)
        if row is None:
            problems.append(f"{file}:{number}: no request here; give `messages`, a batch `body` or `prompt_text`")
        else:
            rows[number] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.name = "request"
    return frame, problems


def _row(line: object) -> dict[str, Any] | None:
    if not isinstance(line, dict):
        return None
    body = next((line[key] for key in ("body", "request") if isinstance(line.get(key), dict)), line)
    if any(key in body for key in _CONTENT):
        columns = request_columns(body)
        columns["model"] = columns.pop("request_model")
        columns.pop("settings")
        known = {key: value for key, value in columns.items() if value is not None}
        return {"prompt_text": None, **known}
    return line if {"prompt_text", "model"} & set(line) else None
