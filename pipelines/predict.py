"""`foretell predict`: forecasts of the champion for a file of requests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipelines.console import print_json, print_table, say
from pipelines.evaluation import family_module
from pipelines.settings import Settings
from predictors.base import BasePredictor
from predictors.errors import DatasetError, InvalidInputError

ROWS_ON_SCREEN = 20


def run_predict(settings: Settings, family: str, file: Path | None, *, out: Path | None, as_json: bool) -> None:
    """Forecast every row of `file`, in order, and print or write the result.

    Raises
    ------
    InvalidInputError
        If there is no file or it cannot be read.
    DatasetError
        If the family has no champion.
    """
    from predictors.serving import forecast_frame

    if file is None:
        raise InvalidInputError("give the file of what is to be forecast: csv, parquet or jsonl, a row per forecast")
    inputs = family_module(family).read_inputs(file)
    forecasts = forecast_frame(load_champion(settings, family), inputs)
    if out is not None:
        write_frame(forecasts, out)
        say(f"{len(forecasts)} forecasts written to {out}")
    elif as_json:
        print_json(forecasts)
    else:
        shown = forecasts.head(ROWS_ON_SCREEN)
        print_table(
            f"{family}: forecasts for {len(forecasts)} rows" + (", the first of them" if len(forecasts) > 20 else ""),
            ["row", *shown.columns],
            [
                [index, *[_cell(name, value) for name, value in zip(shown.columns, row, strict=True)]]
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
        raise DatasetError(
            f"models:/{family}@champion does not exist yet: run `foretell retrain {family}`, or `foretell demo`"
        )
    return registry.load(champion)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write csv, parquet or jsonl, by the suffix."""
    if path.suffix == ".csv":
        frame.to_csv(path, index_label="request")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        raise InvalidInputError(f"`--out` must end in .csv, .parquet or .jsonl, got {path}")


def _cell(name: str, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return "-"
    if name.startswith("cost_"):
        return f"{value:,.6f}"  # dollars of one request are small
    return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.3g}"
