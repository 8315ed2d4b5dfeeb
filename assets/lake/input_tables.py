"""Tables that a person asks forecasts for: csv, parquet or JSON lines, a row per forecast."""

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.assets.readers.core.records import ReadOptions, Reject, TableReader
from foretell.assets.readers.core.stream import head_of, json_lines
from foretell.assets.readers.files.csv_items import delimiter_of
from foretell.assets.readers.spellings import spelt
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.families import FAMILIES

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MAX_NAMES = 8
"""Columns that an error names."""


def read_input_table(
    file: Path, *, columns: Collection[str], lists: Collection[str] = (), family: str | None = None
) -> pd.DataFrame:
    """Read the inputs of forecasts from csv, parquet or jsonl, in the order of the file.

    Of its columns those in `columns` are read, whatever their case and with spaces for underscores; `lists` are those
    that hold a list: in csv, JSON such as ``[1, 2]``. The index is the line (JSONL) or the row (tables), from 1. A
    table that looks like the inputs of another family than `family` is refused.

    Raises `InvalidInputError` if the file is missing, of another kind, empty, holds none of the columns, is for another
    family, or a line cannot be read: leaving one out would shift the forecasts of the others.
    """
    check_file(file, SUFFIXES)
    try:
        table, problems = read_jsonl(file, _object) if file.suffix == ".jsonl" else (read_rows(file), [])
    except (ValueError, OSError) as error:
        raise InvalidInputError(str(error) if str(file) in str(error) else f"{file}: {error}") from error
    if problems:
        raise InvalidInputError(problems[0])
    if table.empty:
        raise InvalidInputError(f"{file}: holds no row")
    known = spelt(map(str, table.columns))
    table = table.rename(columns={known[name]: name for name in columns if name in known})
    if family is not None:
        refuse_other_family(file, family, table.columns)
    present = [name for name in table.columns if name in columns]
    if not present:
        raise InvalidInputError(f"{file}: has none of the columns {sorted(columns)}")
    table = table[present]
    for name in set(lists).intersection(present):
        values = [_as_list(value, f"{file}:{row}", name) for row, value in table[name].items()]
        table = table.assign(**{name: pd.Series(values, index=table.index, dtype=object)})
    return table


def refuse_other_family(file: Path, family: str, names: Collection[str]) -> None:
    """Refuse a table with columns `names` of which none is read by `family` alone, and some by another family alone.

    Raises `InvalidInputError`, naming the family that the table looks like, by which columns, and the columns that
    `family` wants.
    """
    entry = FAMILIES[family]
    if {*entry.input_columns, *entry.other_columns}.issuperset(names):
        return  # it tells of no other, whose predictors take a second to import
    reads = {name: {*entry.input_columns, *entry.other_columns} for name, entry in FAMILIES.items()}
    telling = {
        # Families that read the same requests do not tell each other apart.
        name: columns.difference(*(others for others in reads.values() if others != columns))
        for name, columns in reads.items()
    }
    seen = {name: sorted(columns.intersection(names)) for name, columns in telling.items()}
    likely = max(seen, key=lambda name: len(seen[name]))
    if seen[family] or not seen[likely]:
        return
    wanted = [name for name in FAMILIES[family].input_columns if name in telling[family]]
    raise InvalidInputError(
        f"{file}: looks like a file for {likely}, having the columns {_listed(seen[likely])}; {family} wants columns "
        f"such as {_listed(wanted)}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")


def check_file(file: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file that is not there or of another kind, with an `InvalidInputError` that says so."""
    if file.suffix not in suffixes:
        raise InvalidInputError(f"{file}: expected one of {list(suffixes)}, got {file.suffix or 'no suffix'!r}")
    if not file.is_file():
        raise InvalidInputError(f"{file}: no such file")


def read_rows(file: Path) -> pd.DataFrame:
    """Rows of a csv, tsv or parquet table, numbered from 1."""
    try:
        if file.suffix == ".parquet":
            table = pd.read_parquet(file)
        else:
            table = pd.read_csv(file, sep=delimiter_of(head_of(file).split(b"\n", 1)[0].decode("utf-8", "replace")))
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))


def read_jsonl(file: Path, row_of: Callable[[object], dict[str, Any] | str]) -> tuple[pd.DataFrame, list[str]]:
    """Rows of JSON lines by line, and a line of text for every record that is none.

    `row_of` gives the row of a record or says what is wrong. Where a line holds several, as a JSON list in one line
    does, they stand after the last.
    """
    rows: dict[int, dict[str, Any]] = {}
    problems = []
    for item in json_lines(file):
        if isinstance(item, Reject):
            problems.append(f"{file}:{item.source_line}: {item.reason}; {item.remedy}")
            continue
        number, row = item[0], row_of(item[1])
        if isinstance(row, str):
            problems.append(f"{file}:{number}: {row}")
        else:
            rows[number if number not in rows else max(rows) + 1] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("row"), problems


def _object(line: object) -> dict[str, Any] | str:
    return line if isinstance(line, dict) else f"expected a JSON object, got {type(line).__name__}"


def rows_by(reader: TableReader, file: Path) -> pd.DataFrame:
    """What a reader of canonical tables finds in a file; `InvalidInputError` at what it cannot read of it."""
    items = list(reader.rows(file, ReadOptions()))
    for item in items:
        if isinstance(item, Reject):
            raise InvalidInputError(f"{file}:{item.source_line}: {item.reason}; {item.remedy}")
    return pd.DataFrame([item[1] for item in items if not isinstance(item, Reject)])


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
