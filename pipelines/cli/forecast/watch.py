"""`foretell watch`: follows a run on the tracking server, and says when to stop it."""

import time
from functools import partial
from typing import Annotated

import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import out, say
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError


@flat
def watch(
    run: Annotated[str, typer.Argument(help="mlflow-run:ID, a run on the tracking server.")],
    metric: Annotated[str, typer.Option(help="Name of the metric to follow.")],
    output: Output,
    target_step: Annotated[float | None, typer.Option(help="Where the run ends.")] = None,
    target_value: Annotated[float | None, typer.Option(help="What the run must beat or reach.")] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 10.0,
) -> None:
    """Follow a run until it ends: a line whenever it has new points, the band in --out, and when to stop."""
    settings = Settings()
    kind, _, run_id = run.partition(":")
    if kind != "mlflow-run" or not run_id:
        raise InvalidInputError(f"`foretell watch` follows mlflow-run:ID, a run on the tracking server; got {run!r}")

    from foretell.assets.families.learning_curves.inputs import curve_from_mlflow, read_run
    from foretell.pipelines.cli.forecast.curves import curve_figure, forecast_curves, forecast_line, load_forecaster

    predictor, seen = None, 0
    while True:
        # Whether it has ended is asked first, so that its last points are never missed.
        state = read_run(settings.runs_uri, run_id)
        is_over = state.info.status not in ("RUNNING", "SCHEDULED")
        if is_over or metric in state.data.metrics:
            rows = curve_from_mlflow(settings.runs_uri, run_id, metric, target_step=target_step)
            if len(rows["steps"].iloc[0]) > seen and rows["target_step"].iloc[0] >= rows["steps"].iloc[0][-1]:
                seen = len(rows["steps"].iloc[0])
                if predictor is None:
                    predictor, answered_by = load_forecaster(settings, rows)
                    say(answered_by)
                forecasts = forecast_curves(predictor, rows, target_value=target_value)
                forecast = forecasts.iloc[0]
                if not output.json:
                    out.print(forecast_line(forecast), highlight=False)
                drawn = Section(figure=partial(curve_figure, predictor, rows, forecast, target_value))
                output.write(
                    forecasts.reset_index(names="run"), Page(run_id, [drawn], answer=[forecast_line(forecast)])
                )
        if is_over:
            say(f"{run_id}: {state.info.status.lower()} after {seen} points")
            return
        time.sleep(every)
