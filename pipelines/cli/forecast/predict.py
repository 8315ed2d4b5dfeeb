"""`foretell predict`: forecasts of the champion for a file of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from foretell.assets.families import get_family
from foretell.assets.pages import MAX_ROWS, Page, Section
from foretell.pipelines.cli.console import counted, dollars, spans
from foretell.pipelines.cli.forecast.asked import AskOptions, asked_forecasts
from foretell.pipelines.cli.forecast.champion import known_lines, load_champion, say_what_waits
from foretell.pipelines.cli.forecast.curves import CurveOptions, run_predict_curves
from foretell.pipelines.cli.options import FamilyName, Predictor, flat, or_stdin
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS_ON_SCREEN = 20
SCORES = "Benchmark scores only"
PROSE = ("basis", "reason")
OF_REQUEST = ("custom_id", "model", "benchmark")
"""Columns of the input that tell a reader which request a row is about."""
FIRST = ("abstain", "reason", "basis")
"""What a forecast comes with that must be read before anything else that its family adds."""


@dataclass(frozen=True)
class ScoreOptions:
    """Options of `foretell predict benchmark_scores` without a file."""

    benchmark: Annotated[
        str | None,
        typer.Option(help="The benchmark in words, or a .txt or .yaml file of them.", rich_help_panel=SCORES),
    ] = None
    model: Annotated[
        list[str], typer.Option(help="Model to forecast; several times for several.", rich_help_panel=SCORES)
    ] = field(default_factory=list)

    def rows(self, settings: Settings) -> pd.DataFrame:
        """What to forecast, a row per model."""
        from foretell.assets.families.benchmark_scores.asking import ask_rows

        if self.benchmark is None or not self.model:
            raise InvalidInputError("give both `--benchmark` (a description or its file) and `--model` (once or more)")
        return ask_rows(self.benchmark, self.model, settings.sources.public)


@flat
def predict(
    family: FamilyName,
    output: Output,
    curves: CurveOptions,
    scores: ScoreOptions,
    asked: AskOptions,
    file: Annotated[
        Path | None,
        typer.Argument(help="csv, parquet or jsonl, a row per forecast; - is standard input.", callback=or_stdin),
    ] = None,
    predictor: Predictor = None,
) -> None:
    """Forecast with the champion of a family: mean, median and intervals per row, dollars where priced."""
    if family == "learning_curves" and predictor is None:
        run_predict_curves(Settings(), file, curves, output)
        return
    asked.check(family)
    for name, value in vars(curves).items():
        if value is not None:
            option = name.replace("_", "-")
            raise InvalidInputError(f"`--{option}` is about learning_curves and does not apply to {family}")
    is_described = scores != ScoreOptions()
    if is_described and (family != "benchmark_scores" or file is not None):
        raise InvalidInputError("`--benchmark` and `--model` are for benchmark_scores without a FILE")

    from foretell.predictors.serving import forecast_frame

    settings = Settings()
    output.check(is_drawn=family == "benchmark_scores")
    if is_described:
        inputs = scores.rows(settings)
    elif file is None:
        raise InvalidInputError("give the file of what is to be forecast: csv, parquet or jsonl, a row per forecast")
    else:
        inputs = get_family(family).read_inputs(file)
    champion = load_champion(settings, family, predictor)
    say_what_waits(settings, champion, inputs, predictor)
    forecasts = forecast_frame(champion, inputs)
    names = [name for name in OF_REQUEST if name in inputs and inputs[name].notna().any()]
    row_name = str(inputs.index.name or "row")
    table = inputs[[name for name in names if name == "custom_id"]].join(forecasts).reset_index(names=row_name)
    shown = _shown(inputs[names].join(forecasts).head(MAX_ROWS).reset_index(names=row_name))
    section = Section(
        table=shown, n_keys=list(shown.columns).index("median [90 %]"), prose=PROSE, n_rows=len(table),
        n_on_screen=ROWS_ON_SCREEN,
        figure=partial(_drawn, inputs, forecasts) if family == "benchmark_scores" else None,
    )  # fmt: skip
    sections = [section]
    if asked.ask is not None:
        added, beside = asked_forecasts(settings, asked, inputs, forecasts)
        table, sections = table.join(added.reset_index(drop=True)), [section, beside]
    title = f"{family}: forecasts for {counted(len(table), 'row')}"
    output.show(table, Page(title, sections, answer=known_lines(forecasts["known"])))


def _drawn(inputs: pd.DataFrame, forecasts: pd.DataFrame) -> Axes:
    from matplotlib.figure import Figure

    from foretell.predictors.plots.forecasts import plot_intervals

    figure = Figure(figsize=(7, 1.4 + 0.4 * len(forecasts)), layout="constrained")
    named = [name for name in ("model", "benchmark") if name in inputs and inputs[name].notna().any()]
    labels = inputs[named].fillna("").astype("str").agg(", ".join, axis=1) if named else inputs.index.astype("str")
    axes = figure.add_subplot()
    return plot_intervals(forecasts.assign(label=list(labels)), axes, unit="score, points (right is better)")


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """What people read of a forecast, the most important first."""
    from foretell.predictors.serving import FORECAST_COLUMNS, KNOWN_COLUMNS

    priced = "cost_median_usd" in table and table["cost_median_usd"].notna().any()
    table = table.drop(columns=[name for name in KNOWN_COLUMNS if table[name].isna().all()])
    key = [name for name in table.columns[: table.columns.get_loc("mean")] if name != "basis"]
    hidden = {*key, *FORECAST_COLUMNS, "price_version"}
    columns = {name: ["" if pd.isna(value) else str(value) for value in table[name]] for name in key}
    ends = ["median", "lower_90", "upper_90"]
    columns["median [90 %]"] = spans(table[ends], _number)
    if priced:
        columns["dollars [90 %]"] = spans(table[[f"cost_{name}_usd" for name in ends]], dollars)
    columns["mean"] = [_number(value) for value in table["mean"]]
    halves = zip(table["lower_50"], table["upper_50"], strict=True)
    columns["[50 %]"] = [f"[{_number(lower)}, {_number(upper)}]" for lower, upper in halves]
    for name in sorted(table.columns, key=lambda name: name not in FIRST):
        if name not in hidden and not str(name).startswith("cost_"):
            columns[str(name)] = [_number(value) for value in table[name]]
    return pd.DataFrame(columns)


def _number(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
