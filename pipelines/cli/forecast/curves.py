"""`foretell predict learning_curves`: where runs end, what going on is worth, and a picture of one of them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import pandas as pd
import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import say
from foretell.pipelines.cli.forecast.champion import known_lines, load_champion
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from foretell.predictors.learning_curves.forecaster import CurveForecaster

MAY_STOP = "may stop"
PANEL = "Learning curves only"

SENTENCES = 3
"""Curves of which the head of a page says where they end."""
N_STEPS = 24
LEAST_PROBABILITY = 0.05
FORECAST = ("median", "lower_50", "upper_50", "lower_90", "upper_90")
LEVELS = {"lower_90": 0.05, "lower_50": 0.25, "median": 0.5, "upper_50": 0.75, "upper_90": 0.95}


@dataclass(frozen=True)
class CurveOptions:
    """Options of `foretell predict learning_curves`; None where they are not given."""

    mlflow_run: Annotated[
        str | None, typer.Option(help="Extrapolate a metric of this MLflow run.", rich_help_panel=PANEL)
    ] = None
    metric: Annotated[str | None, typer.Option(help="Metric of that run, or of a log.", rich_help_panel=PANEL)] = None
    target_step: Annotated[float | None, typer.Option(help="Where the run ends.", rich_help_panel=PANEL)] = None
    target_value: Annotated[
        float | None, typer.Option(help="What the run must beat; by default its last value.", rich_help_panel=PANEL)
    ] = None


def run_predict_curves(settings: Settings, file: Path | None, options: CurveOptions, output: Output) -> None:
    """Forecast the curves of a file or of one MLflow run, and say what to do about them; a picture is of the first."""
    rows = _read_curves(settings, file, options)
    predictor, answered_by = load_forecaster(settings, rows)
    say(answered_by)
    forecasts = forecast_curves(predictor, rows, target_value=options.target_value)
    table = forecasts.reset_index(names="curve")
    figure = partial(curve_figure, predictor, rows.iloc[:1], forecasts.iloc[0], options.target_value)
    section = Section(table=_shown(table), n_keys=2, prose=("advice", "basis"), figure=figure)
    title = f"learning_curves: forecasts by {type(predictor).__name__}"
    answer = [f"curve {name}: {forecast_line(row)}" for name, row in forecasts.head(SENTENCES).iterrows()]
    output.show(
        table, Page(title, [section], answer=answer, remarks=known_lines(forecasts["known"]), method=[answered_by])
    )


def _read_curves(settings: Settings, file: Path | None, options: CurveOptions) -> pd.DataFrame:
    from foretell.assets.families.learning_curves.inputs import curve_from_mlflow, read_inputs

    if (file is None) == (options.mlflow_run is None):
        raise InvalidInputError("give a file of curves or `--mlflow-run RUN`, one of the two")
    if options.mlflow_run is not None:
        if options.metric is None:
            raise InvalidInputError("`--mlflow-run` needs `--metric`, the name of the metric to extrapolate")
        rows = curve_from_mlflow(settings.runs_uri, options.mlflow_run, options.metric, target_step=options.target_step)
    else:
        assert file is not None
        rows = read_inputs(file, metric=options.metric, target_step=options.target_step)
    # A target before the last observed step is refused in one short line: curves have thousands of values.
    for name, steps, target in zip(rows.index, rows["steps"], rows["target_step"], strict=True):
        last = max((float(step) for step in steps), default=float("nan")) if isinstance(steps, list) else float("nan")
        if target < last:
            raise InvalidInputError(
                f"curve {name}: the target step {target:g} lies before the last observed step {last:g}; give a later "
                "one with `--target-step`"
            )
    return rows


def load_forecaster(settings: Settings, rows: pd.DataFrame) -> "tuple[CurveForecaster, str]":
    """What answers, and a sentence that says which and why: the champion, or the network.

    The network answers where there is no champion, or one that has learnt of training set sizes alone and is asked
    about runs. A champion of another version of the code is asked where every curve names its learner, as then.
    """
    from foretell.assets.families.learning_curves.family import FAMILY
    from foretell.predictors.learning_curves.forecaster import CurveForecaster
    from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor

    try:
        champion = cast(CurveForecaster, load_champion(settings, FAMILY.name))
        of_today = isinstance(champion, CurveForecaster)
        if not of_today and not hasattr(champion, "distribution"):
            why = f"the champion is a {type(champion).__name__}, which gives no probabilities of its own"
        elif not (champion.answers(rows).all() if of_today else "learner" in rows and rows["learner"].notna().all()):
            why = "the champion has learnt from curves of other kinds alone; `foretell retrain learning_curves`"
        else:
            return champion, f"answered by the champion, a {type(champion).__name__}"
    except DatasetError as error:
        why = str(error)
    return PfnPredictor.zero_shot(), f"answered by the network that the project ships, not by the champion: {why}"


def forecast_curves(
    predictor: "CurveForecaster", rows: pd.DataFrame, *, target_value: float | None = None
) -> pd.DataFrame:
    """Forecast and advice for every curve.

    Returns
    -------
    DataFrame
        Index of `rows`: ``known`` and ``basis``, last step and value, target step, median and intervals,
        ``probability_better`` (of ending better than `target_value`, or than the last value: below it where lower is
        better), ``probability_above`` (the same by its former name; goes away with the next version),
        ``expected_gain`` over it, ``noise_floor`` (mean absolute error that the jitter of this very curve makes
        unavoidable, NaN for fewer than six points), ``stop_step`` (from which on forecasts agree, `settled_steps`)
        and ``advice``; where `target_value` is given, the columns of `steps_to_target`.
    """
    from foretell.predictors.learning_curves.decisions import advise, jitter_floor, settled_steps, steps_to_target
    from foretell.predictors.schemas.learning_curves import as_points

    quantiles = predictor.predict_quantiles(rows, tuple(LEVELS.values()))
    observed = [(as_points(s), as_points(v)) for s, v in zip(rows["steps"], rows["values"], strict=True)]
    last = np.array([values[np.isfinite(values)][-1] for _, values in observed])
    goal = pd.Series(last if target_value is None else target_value, index=rows.index, dtype="float64")
    decided = advise(predictor, rows, incumbent=goal, least_probability=LEAST_PROBABILITY)
    columns: dict[str, Any] = {
        "known": predictor.known_of(rows), "basis": predictor.basis_of(rows),
        "last_step": [steps[-1] for steps, _ in observed], "last_value": last,
        "target_step": rows["target_step"].to_numpy(),
        **{name: quantiles[LEVELS[name]].to_numpy() for name in FORECAST},
        "probability_better": decided["probability_better"].to_numpy(),
        "probability_above": decided["probability_better"].to_numpy(),
        "expected_gain": decided["expected_gain"].to_numpy(),
        "noise_floor": [jitter_floor(*points) for points in observed],
    }  # fmt: skip
    table = pd.DataFrame(columns, index=rows.index)
    if target_value is not None:
        table = table.join(steps_to_target(predictor, rows, goal))
    table["stop_step"] = settled_steps(predictor, rows, table["noise_floor"])
    table["advice"] = [
        _advice(bool(stop), gain, floor, step)
        for stop, gain, floor, step in zip(
            decided["stop"], table["expected_gain"], table["noise_floor"], table["stop_step"], strict=True
        )
    ]
    return table


def forecast_line(forecast: pd.Series) -> str:
    """A row of `forecast_curves` in a sentence."""
    low, high = forecast["lower_90"], forecast["upper_90"]
    line = f"step {forecast['last_step']:g}: {forecast['last_value']:.5g}; at step {forecast['target_step']:g} "
    line += f"{forecast['median']:.5g} [{low:.5g}, {high:.5g}]; {forecast['advice']}"
    if "probability_reached" in forecast:
        line += f"; target {100 * forecast['probability_reached']:.0f} % likely"
    return line


def curve_figure(
    predictor: "CurveForecaster", row: pd.DataFrame, forecast: pd.Series, target_value: float | None
) -> "Axes":
    """The curve of the only row, and its forecast (of `forecast_curves`) from the last observed step to the target.

    `target_value`, in the metric's unit, is drawn where it is given.
    """
    from foretell.predictors.plots.forecasts import plot_extrapolation
    from foretell.predictors.schemas.learning_curves import as_points

    last, target = float(forecast["last_step"]), float(forecast["target_step"])
    steps = np.geomspace(max(last, 1e-9), max(target, 2e-9), N_STEPS + 1)[1:]
    steps[-1] = target
    asked = row.loc[row.index.repeat(N_STEPS)].assign(target_step=steps).reset_index(drop=True)
    quantiles = predictor.predict_quantiles(asked, tuple(LEVELS.values()))
    ahead = pd.DataFrame({"step": steps, **{name: quantiles[level] for name, level in LEVELS.items()}})
    first = row.iloc[0]
    ahead = ahead.assign(
        noise_floor=forecast["noise_floor"], target_value=np.nan if target_value is None else target_value,
        # Where forecasts have settled is no reason to stop a run that is worth going on with.
        stop_step=forecast["stop_step"] if forecast["advice"].startswith(MAY_STOP) else np.nan,
        metric=first.get("metric"), advice=forecast["advice"],
    )  # fmt: skip
    curve = pd.DataFrame({"step": as_points(first["steps"]), "value": as_points(first["values"])})
    if "standard_errors" in row and len(as_points(first["standard_errors"])):
        curve["standard_error"] = as_points(first["standard_errors"])
    return plot_extrapolation(curve[np.isfinite(curve["value"])], ahead)


def _advice(stop: bool, gain: float, floor: float, stop_step: float) -> str:
    if stop:
        return "stop: the target is out of reach"
    if np.isfinite(floor) and gain < floor:
        return "stop: what is still to come is less than the noise"
    if np.isfinite(stop_step) and not np.isfinite(floor):
        return f"{MAY_STOP}: the forecast has settled at step {stop_step:g}"
    return "go on"


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """What people read of the forecasts, the most important first."""
    from foretell.predictors.learning_curves.decisions import REACH_COLUMNS

    text = {name: [_cell(value) for value in table[name]] for name in table.columns}
    ends = zip(text["median"], text["lower_90"], text["upper_90"], strict=True)
    columns = {
        "curve": text["curve"], "known": text["known"], "median [90 %]": [f"{m} [{a}, {b}]" for m, a, b in ends],
        "advice": text["advice"], "last value": text["last_value"], "target step": text["target_step"],
        "[50 %]": [f"[{a}, {b}]" for a, b in zip(text["lower_50"], text["upper_50"], strict=True)],
        "basis": text["basis"],
    }  # fmt: skip
    rest = [name for name in (*REACH_COLUMNS, "probability_better", "expected_gain", "noise_floor", "last_step",
                              "stop_step") if name in text]  # fmt: skip
    return pd.DataFrame({**columns, **{name.replace("_", " "): text[name] for name in rest}})


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and np.isinf(value):
        return "may never"
    if isinstance(value, float | int | np.floating):
        return "-" if pd.isna(value) else f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
    return str(value)
