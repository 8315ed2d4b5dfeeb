"""Curves that a person asks about: a file of them, or the history of an MLflow run."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.families.learning_curves.examples import LISTS
from foretell.assets.lake.input_tables import read_input_table, rows_by
from foretell.assets.readers.core.normalise import as_number
from foretell.assets.readers.curves.histories import TARGETS
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from mlflow.entities import Run

    from foretell.assets.readers.core.records import TableReader

LOGS = ("training_log", "tensorboard", "curve_table")
"""Formats with a row per point of a run."""


def read_inputs(path: Path, *, metric: str | None = None, target_step: float | None = None) -> pd.DataFrame:
    """What `foretell predict learning_curves FILE` reads: a row per forecast, the columns of `CurveRequests`.

    A file is a table of curves, a row each (csv with lists as JSON, parquet or JSON lines), or a log of training runs
    as `foretell ingest` reads it (W&B, Lightning, TensorBoard, a row per point): a row for each of its runs and
    metrics, or for `metric` alone. `target_step` is where all of them end.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, lacks `steps`, `values` or where its curves end, or has no such metric, naming file,
        row and remedy.
    """
    from foretell.assets.readers.reading import detect, table_reader
    from foretell.predictors.schemas.learning_curves import CurveRequests

    format = detect(path) if path.is_file() else None
    if format in LOGS and (reader := table_reader(format)) is not None:
        table = _logged_curves(path, reader, metric)
    elif metric is not None:
        raise InvalidInputError(f"{path}: `--metric` is about logs of runs; here every row is a curve of its own")
    else:
        columns = list(CurveRequests.to_schema().columns)
        table = read_input_table(path, columns=columns, lists=LISTS, family="learning_curves")
    if target_step is not None:
        table = table.assign(target_step=target_step)
    if "target_step" not in table or (format in LOGS and table["target_step"].isna().any()):
        raise InvalidInputError(f"{path}: no `target_step`, where its runs end; give `--target-step`")
    missing = sorted({"steps", "values"} - set(table.columns))
    if missing:
        raise InvalidInputError(f"{path}: lacks the columns {missing}; a row is one observed curve and a target_step")
    return table


def _logged_curves(path: Path, reader: "TableReader", metric: str | None) -> pd.DataFrame:
    """A row per run and metric of a log, by name; what cannot be read of it is refused, since it may be a point."""
    table = rows_by(reader, path)
    for name in ("step", "value", "target_step"):
        table[name] = pd.to_numeric(table[name], errors="coerce") if name in table else float("nan")
    table = table[table["step"].notna()].sort_values("step", kind="stable")
    there = list(dict.fromkeys(table["metric"]))
    if metric is not None and metric not in there:
        raise InvalidInputError(f"{path}: has no metric {metric!r}; it has {', '.join(map(repr, there))}")
    table = table[table["metric"] == (metric or table["metric"])]
    first = ["dataset", "learner", "resource_unit", "higher_is_better", "target_step"]
    curves = table.groupby(["curve_id", "metric"], sort=False).agg(
        steps=("step", list), values=("value", list), **{name: (name, "first") for name in first}
    ).reset_index("metric")  # fmt: skip
    return curves.set_index((curves.index + " " + curves["metric"]).rename("curve"))


def read_run(tracking_uri: str, run_id: str) -> "Run":
    """A run of the tracking server.

    Raises
    ------
    InvalidInputError
        If it is not there.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        return MlflowClient(tracking_uri=tracking_uri).get_run(run_id)
    except MlflowException as error:
        raise InvalidInputError(f"{run_id}: no such run at {tracking_uri} ({error.message})") from error


def curve_from_mlflow(tracking_uri: str, run_id: str, metric: str, *, target_step: float | None = None) -> pd.DataFrame:
    """The history of a metric of an MLflow run as one request.

    Points that were logged twice for a step keep the latest; the `dataset` is the experiment, the `learner` the run's
    name. Without `target_step` the first of the run's parameters or tags `TARGETS` is read.

    The one row is valid under `CurveRequests`, its index is the run. Metrics with ``loss`` or ``error`` in their name
    count as better when lower.

    Raises
    ------
    InvalidInputError
        If the run or the metric is not there, or no target is known; says what is there.
    """
    from mlflow.tracking import MlflowClient

    from foretell.predictors.learning_curves.curves import lower_is_better

    run = read_run(tracking_uri, run_id)
    history = MlflowClient(tracking_uri=tracking_uri).get_metric_history(run_id, metric)
    if not history:
        there = ", ".join(sorted(run.data.metrics)) or "none"
        raise InvalidInputError(f"{run_id}: has no metric {metric!r}; it has {there}")
    facts = {**run.data.tags, **run.data.params}
    logged = [number for name in TARGETS if (number := as_number(facts.get(name))) is not None and number > 0]
    if target_step is None and not logged:
        raise InvalidInputError(f"{run_id}: no target; give `--target-step` or log a parameter {' or '.join(TARGETS)}")
    latest = {point.step: point for point in sorted(history, key=lambda p: (p.step, p.timestamp))}
    steps = sorted(latest)
    row: dict[str, list[object]] = {
        "steps": [[float(step) for step in steps]], "values": [[float(latest[step].value) for step in steps]],
        "target_step": [logged[0] if target_step is None else target_step], "metric": [metric],
        "learner": [run.info.run_name or run_id],
        "dataset": [run.info.experiment_id], "resource_unit": ["steps"],
        "higher_is_better": [not lower_is_better(metric)],
    }  # fmt: skip
    return pd.DataFrame(row, index=pd.Index([run_id], name="run_id"))
