"""Tables that a person asks forecasts for: csv, parquet or JSON lines, a row per forecast."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from predictors.errors import InvalidInputError

__all__ = ["read_input_table"]

SUFFIXES = (".csv", ".jsonl", ".parquet")


def read_input_table(file: Path, *, known: Collection[str], lists: Collection[str] = ()) -> pd.DataFrame:
    """Read the inputs of forecasts, in the order of the file.

    Parameters
    ----------
    file : Path
        csv, parquet or jsonl.
    known : collection of str
        The columns that the family reads; others are left out.
    lists : collection of str
        Those of `known` that hold a list: in csv, JSON such as ``[1, 2]``.

    Returns
    -------
    DataFrame
        Columns of `known` that the file has; index is the line (JSONL) or the row (tables), from 1.

    Raises
    ------
    InvalidInputError
        If the file is missing, of another kind, empty, holds none of the columns, or a line cannot be read: leaving
        one out would shift the forecasts of the others.
    """
    if file.suffix not in SUFFIXES:
        raise InvalidInputError(f"{file}: expected one of {list(SUFFIXES)}, got {file.suffix or 'no suffix'!r}")
    if not file.is_file():
        raise InvalidInputError(f"{file}: no such file")
    try:
        table = _read_jsonl(file) if file.suffix == ".jsonl" else _read_table(file)
    except (ValueError, OSError) as error:
        raise InvalidInputError(str(error) if str(file) in str(error) else f"{file}: {error}") from error
    if table.empty:
        raise InvalidInputError(f"{file}: holds no row")
    columns = [name for name in table.columns if name in known]
    if not columns:
        raise InvalidInputError(f"{file}: has none of the columns {sorted(known)}")
    table = table[columns]
    for name in set(lists).intersection(columns):
        values = [_as_list(value, f"{file}:{row}", name) for row, value in table[name].items()]
        table = table.assign(**{name: pd.Series(values, index=table.index, dtype=object)})
    return table


def _read_table(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))


def _read_jsonl(file: Path) -> pd.DataFrame:
    from assets.readers.base import Reject
    from assets.readers.stream import json_lines

    rows: dict[int, dict[str, Any]] = {}
    for item in json_lines(file):
        if isinstance(item, Reject):
            raise InvalidInputError(f"{file}:{item.source_line}: {item.reason}; {item.remedy}")
        number, line = item
        if not isinstance(line, dict):
            raise InvalidInputError(f"{file}:{number}: expected a JSON object, got {type(line).__name__}")
        rows[number] = line
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.name = "row"
    return frame


def _as_list(value: object, place: str, name: str) -> list[Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InvalidInputError(f"{place}: `{name}` must be a JSON list such as [1, 2], got {value!r}") from error
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list):
        raise InvalidInputError(f"{place}: `{name}` must be a list, got {type(value).__name__}")
    return value
