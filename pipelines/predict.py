"""`foretell predict`: forecasts of the champion for a file of requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pipelines.console import print_json, print_table, say
from pipelines.evaluation import FAMILIES
from pipelines.settings import Settings
from predictors.base import BasePredictor
from predictors.errors import DatasetError, InvalidInputError

ROWS_ON_SCREEN = 20


def run_predict(settings: Settings, family: str, file: Path, *, out: Path | None, as_json: bool) -> None:
    """Forecast every row of `file`, in order, and print or write the result."""
    from predictors.serving import forecast_frame

    if family not in FAMILIES:
        raise InvalidInputError(f"unknown family {family!r}; there is {', '.join(FAMILIES)}")
    requests = read_requests(file)
    forecasts = forecast_frame(load_champion(settings, family), requests)
    if out is not None:
        write_frame(forecasts, out)
        say(f"{len(forecasts)} forecasts written to {out}")
    elif as_json:
        print_json(forecasts)
    else:
        shown = forecasts.head(ROWS_ON_SCREEN)
        print_table(
            f"{family}: forecasts for {len(forecasts)} requests"
            + (", the first of them" if len(forecasts) > 20 else ""),
            ["row", *shown.columns],
            [
                [index, *[_cell(value) for value in row]]
                for index, row in zip(shown.index, shown.to_numpy(), strict=True)
            ],
        )


def load_champion(settings: Settings, family: str) -> BasePredictor:
    """The champion of a family, from the registry.

    Raises
    ------
    DatasetError
        If there is none.
    """
    from pipelines.definitions import build_tracking

    registry = build_tracking(settings).registry()
    champion = registry.champion(family)
    if champion is None:
        raise DatasetError(f"models:/{family}@champion does not exist yet: run `foretell demo` first")
    return registry.load(champion)


def read_requests(file: Path) -> pd.DataFrame:
    """Requests from csv, parquet or jsonl.

    Raises
    ------
    InvalidInputError
        If the file is missing, empty, of another kind, or a line of it is broken (named).
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".jsonl": _read_jsonl,
    }
    if file.suffix not in readers:
        raise InvalidInputError(f"{file}: expected one of {sorted(readers)}, got {file.suffix or 'no suffix'!r}")
    if not file.is_file():
        raise InvalidInputError(f"{file}: no such file")
    try:
        frame = readers[file.suffix](file)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{file}: {error}") from error
    if frame.empty:
        raise InvalidInputError(f"{file}: holds no request")
    return frame


def _read_jsonl(file: Path) -> pd.DataFrame:
    import orjson

    rows = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InvalidInputError(f"{file}:{number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InvalidInputError(f"{file}:{number}: expected an object with `model`, got {type(row).__name__}")
        rows.append(row)
    return pd.DataFrame(rows)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write csv, parquet or jsonl, by the suffix."""
    if path.suffix == ".csv":
        frame.to_csv(path, index_label="row")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        raise InvalidInputError(f"`--out` must end in .csv, .parquet or .jsonl, got {path}")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:,.6f}" if abs(value) < 1 else f"{value:,.1f}"
    return str(value)
