"""`foretell predict learning_curves`: where runs end, what going on is worth, and a picture of one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.console import print_json, print_table, say
from pipelines.settings import Settings
from predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    from predictors.learning_curves.forecaster import CurveForecaster
    from predictors.learning_curves.pfn.predictor import PfnPredictor

__all__ = ["forecast_curves", "run_predict_curves"]

N_STEPS = 24
LEAST_PROBABILITY = 0.05
FORECAST = ("median", "lower_50", "upper_50", "lower_90", "upper_90")
LEVELS = {"lower_90": 0.05, "lower_50": 0.25, "median": 0.5, "upper_50": 0.75, "upper_90": 0.95}


def run_predict_curves(
    settings: Settings,
    *,
    file: Path | None = None,
    mlflow_run: str | None = None,
    metric: str | None = None,
    target_step: float | None = None,
    target_value: float | None = None,
    out_plot: Path | None = None,
    as_json: bool = False,
) -> None:
    """Forecast the curves of a file or of one MLflow run, and print what to do about them.

    Parameters
    ----------
    settings : Settings
    file : Path, optional
        Rows as `assets.learning_curves.read_inputs` reads them. This or `mlflow_run`.
    mlflow_run : str, optional
        Identifier of a run on the tracking server of `settings`; `metric` names the curve.
    metric, target_step
        See `assets.learning_curves.curve_from_mlflow`. With a file, `target_step` replaces that of every row.
    target_value : float, optional
        What the run must beat, in the metric's unit; by default its last value.
    out_plot : Path, optional
        Where to draw the first curve (PNG). With `mlflow_run` the default is ``curve_<run>.png`` here.
    as_json : bool
        One JSON object a row instead of a table.

    Raises
    ------
    InvalidInputError
        If neither or both of file and run are given, or what they hold is not a curve.
    """
    from assets.learning_curves import curve_from_mlflow, read_inputs

    if (file is None) == (mlflow_run is None):
        raise InvalidInputError("give a file of curves or `--mlflow-run RUN`, one of the two")
    if mlflow_run is not None:
        if metric is None:
            raise InvalidInputError("`--mlflow-run` needs `--metric`, the name of the metric to extrapolate")
        rows = curve_from_mlflow(settings.mlflow_uri, mlflow_run, metric, target_step=target_step)
        out_plot = out_plot or Path(f"curve_{mlflow_run}.png")
    else:
        assert file is not None
        rows = read_inputs(file)
        if target_step is not None:
            rows = rows.assign(target_step=target_step)
    predictor = load_forecaster(settings, rows, zero_shot=mlflow_run is not None)
    table = forecast_curves(predictor, rows, target_value=target_value)
    if out_plot is not None:
        draw_curve(predictor, rows.iloc[:1], table.iloc[0], target_value, out_plot)
        say(f"drawn: {out_plot}")
    if as_json:
        print_json(table.reset_index(names="curve"))
        return
    print_table(
        f"learning_curves: forecasts by {type(predictor).__name__}",
        ["curve", *table.columns],
        [[index, *[_cell(value) for value in row]] for index, row in zip(table.index, table.to_numpy(), strict=True)],
    )


def load_forecaster(
    settings: Settings, rows: pd.DataFrame, *, zero_shot: bool = False
) -> CurveForecaster | PfnPredictor:
    """The champion where every curve of a file names its learner; else the network, which needs no like curves.

    What a stack has learnt of anchors, learners and data sets does not carry over to the metrics of any training run:
    on curves of evenly spaced steps it was too sure of itself, and the network was not (docs/learning_curves.md).
    """
    from assets.learning_curves import PIPELINE
    from pipelines.predict import load_champion
    from predictors.learning_curves.forecaster import CurveForecaster
    from predictors.learning_curves.pfn.predictor import PfnPredictor

    if not zero_shot and "learner" in rows and rows["learner"].notna().all():
        try:
            champion = load_champion(settings, PIPELINE.family)
            if isinstance(champion, CurveForecaster):
                return champion
            say(f"the champion is a {type(champion).__name__}, which gives no probabilities of its own")
        except DatasetError as error:
            say(str(error))
    say("forecast by the network that the project ships, which has seen no real curve")
    return PfnPredictor.zero_shot()


def forecast_curves(
    predictor: CurveForecaster | PfnPredictor, rows: pd.DataFrame, *, target_value: float | None = None
) -> pd.DataFrame:
    """Forecast and advice for every curve.

    Returns
    -------
    DataFrame
        Index of `rows`: last step and value, target step, median and intervals, ``probability_above`` (of ending
        better than `target_value`, or than the last value), ``expected_gain`` over it, ``noise_floor`` (mean absolute
        error that the jitter of this very curve makes unavoidable, NaN for fewer than six points), ``stop_step``
        (where the functional strategy would have stopped) and ``advice``.
    """
    from predictors.learning_curves.decisions import advise
    from predictors.schemas.learning_curves import as_points

    quantiles = predictor.predict_quantiles(rows, tuple(LEVELS.values()))
    observed = [(as_points(s), as_points(v)) for s, v in zip(rows["steps"], rows["values"], strict=True)]
    last = np.array([values[np.isfinite(values)][-1] for _, values in observed])
    goal = pd.Series(last if target_value is None else target_value, index=rows.index, dtype="float64")
    decided = advise(predictor, rows, incumbent=goal, least_probability=LEAST_PROBABILITY)
    columns: dict[str, Any] = {
        "last_step": [steps[-1] for steps, _ in observed], "last_value": last,
        "target_step": rows["target_step"].to_numpy(),
        **{name: quantiles[LEVELS[name]].to_numpy() for name in FORECAST},
        "probability_above": decided["probability_above"].to_numpy(),
        "expected_gain": decided["expected_gain"].to_numpy(),
        "noise_floor": [jitter_floor(*points) for points in observed],
    }  # fmt: skip
    table = pd.DataFrame(columns, index=rows.index)
    table["stop_step"] = pd.Series([_stop_step(row) for _, row in rows.iterrows()], index=rows.index, dtype="float64")
    table["advice"] = [
        _advice(bool(stop), gain, floor, step)
        for stop, gain, floor, step in zip(
            decided["stop"], table["expected_gain"], table["noise_floor"], table["stop_step"], strict=True
        )
    ]
    return table


def jitter_floor(steps: np.ndarray, values: np.ndarray) -> float:
    """Mean absolute error that a curve's own jitter makes unavoidable: from the last half around a line in log step."""
    finite = np.isfinite(values)
    x, y = np.log1p(steps[finite]), values[finite]
    half = len(x) // 2
    if len(x) < 6:
        return float("nan")
    x, y = x[half:], y[half:]
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt((residual**2).sum() / max(len(x) - 2, 1)) * np.sqrt(2 / np.pi))


def draw_curve(
    predictor: CurveForecaster | PfnPredictor,
    row: pd.DataFrame,
    told: pd.Series,
    target_value: float | None,
    path: Path,
) -> None:
    """Draw one curve with its forecast from the last observed step to the target, and save it."""
    from predictors.forecast_plots import plot_extrapolation
    from predictors.schemas.learning_curves import as_points

    steps = np.geomspace(max(told["last_step"], 1e-9), max(told["target_step"], 2e-9), N_STEPS + 1)[1:]
    steps[-1] = told["target_step"]
    asked = row.loc[row.index.repeat(N_STEPS)].assign(target_step=steps).reset_index(drop=True)
    quantiles = predictor.predict_quantiles(asked, tuple(LEVELS.values()))
    forecast = pd.DataFrame({"step": steps, **{name: quantiles[level] for name, level in LEVELS.items()}})
    forecast = forecast.assign(
        noise_floor=told["noise_floor"], target_value=np.nan if target_value is None else target_value,
        stop_step=told["stop_step"],
    )  # fmt: skip
    first = row.iloc[0]
    curve = pd.DataFrame({"step": as_points(first["steps"]), "value": as_points(first["values"])})
    if "standard_errors" in row and len(as_points(first["standard_errors"])):
        curve["standard_error"] = as_points(first["standard_errors"])
    figure = plot_extrapolation(curve[np.isfinite(curve["value"])], forecast).get_figure(root=True)
    assert figure is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _stop_step(row: pd.Series) -> float | None:
    from predictors.learning_curves.curves import lower_is_better
    from predictors.learning_curves.functional import learning_trace
    from predictors.schemas.learning_curves import as_points

    values = as_points(row["values"])
    if np.isfinite(values).sum() < 3:
        return None
    told = row.get("higher_is_better")
    return learning_trace(
        as_points(row["steps"]), values, target_step=float(row["target_step"]),
        lower_bound=_number(row.get("lower_bound")), upper_bound=_number(row.get("upper_bound")),
        higher_is_better=not lower_is_better(row.get("metric")) if told is None or pd.isna(told) else bool(told),
    ).stop_step  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _advice(stop: bool, gain: float, floor: float, stop_step: float) -> str:
    if stop:
        return "stop: the target is out of reach"
    if np.isfinite(floor) and gain < floor:
        return "stop: what is still to come is less than the noise"
    if np.isfinite(stop_step) and not np.isfinite(floor):
        return f"may stop: the trend has settled at step {stop_step:g}"
    return "go on"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float | int | np.floating):
        return "-" if pd.isna(value) else f"{value:.4g}"
    return str(value)
