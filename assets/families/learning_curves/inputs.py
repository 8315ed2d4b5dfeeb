"""Curves that a person asks about: a file of them, or the history of an MLflow run."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.families.learning_curves.examples import LISTS
from foretell.assets.lake.input_tables import read_input_table
from foretell.assets.readers.core.normalise import as_number
from foretell.assets.readers.curves.histories import TARGETS
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from mlflow.entities import Run


def read_inputs(path: Path) -> pd.DataFrame:
    """What `foretell predict learning_curves FILE` reads: a row per forecast, the columns of `CurveRequests`.

    csv (lists as JSON), parquet or JSON lines.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or lacks `steps`, `values` or `target_step`, naming file, row and remedy.
    """
    from foretell.predictors.schemas.learning_curves import CurveRequests

    columns = list(CurveRequests.to_schema().columns)
    table = read_input_table(path, columns=columns, lists=LISTS, family="learning_curves")
    missing = sorted({"steps", "values", "target_step"} - set(table.columns))
    if missing:
        raise InvalidInputError(f"{path}: lacks the columns {missing}; a row is one observed curve and a target_step")
    return table


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
