"""Requests that were not sent yet: chat JSONL, batch input, or a table, as columns of `Requests`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from assets.readers.requests import request_columns
from predictors.errors import InvalidInputError

__all__ = ["read_requests"]

SUFFIXES = (".csv", ".jsonl", ".parquet")
_CONTENT = ("messages", "input", "contents", "prompt")


def read_requests(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read requests in the order of the file.

    A JSONL line is a chat request (``messages``), a line of batch input (``body``), a logged call
    (``request``), or an object of our own columns (``prompt_text``, ``max_tokens``, ...).

    Parameters
    ----------
    file : Path
        csv, parquet or jsonl.

    Returns
    -------
    requests : DataFrame
        One row per readable request; index is the line (JSONL) or the row (tables), from 1.
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
        requests, problems = _read_jsonl(file) if file.suffix == ".jsonl" else (_read_table(file), [])
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
