"""Sibling curves of a forecast: other learners on the same data set, as list columns of `CurveRequests`."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..schemas.learning_curves import SIBLING_COLUMNS, as_points

Floats: TypeAlias = NDArray[np.float64]


def attach_siblings(
    requests: pd.DataFrame, curves: pd.DataFrame, *, extent: Literal["same_budget", "complete"]
) -> pd.DataFrame:
    """Add to each request what other learners have shown on its data set.

    Parameters
    ----------
    requests : DataFrame
        Valid under `CurveRequests`, with `dataset` and `learner`.
    curves : DataFrame
        One row per point of a curve: `dataset`, `learner`, `step`, `value`, in the metric's unit. The request's own
        learner is left out.
    extent : {"same_budget", "complete"}
        ``"same_budget"``: siblings are known up to the request's last observed step, as when all learners are
        trained side by side. ``"complete"``: the siblings have finished, as when one more learner is tried on a data
        set with history.

    Returns
    -------
    DataFrame
        Index and columns of `requests` and the three columns `SIBLING_COLUMNS`; empty lists where there are none.

    Raises
    ------
    InvalidInputError
        If a column is missing or `extent` is something else.
    """
    missing = sorted({"dataset", "learner", "step", "value"} - set(curves.columns))
    missing += sorted({"dataset", "learner"} - set(requests.columns))
    if missing:
        raise InvalidInputError(f"siblings need the columns {missing}")
    if extent not in ("same_budget", "complete"):
        raise InvalidInputError(f"`extent` must be 'same_budget' or 'complete', got {extent!r}")
    ordered = curves.sort_values(["dataset", "learner", "step"], kind="stable")
    by_dataset: dict[str, dict[str, tuple[Floats, Floats]]] = {}
    for (dataset, learner), part in ordered.groupby(["dataset", "learner"], sort=False):
        points = part["step"].to_numpy(dtype=np.float64), part["value"].to_numpy(dtype=np.float64)
        by_dataset.setdefault(str(dataset), {})[str(learner)] = points
    columns: dict[str, list[list[object]]] = {name: [] for name in SIBLING_COLUMNS}
    for dataset, learner, steps in zip(requests["dataset"], requests["learner"], requests["steps"], strict=True):
        limit = np.inf if extent == "complete" else float(as_points(steps)[-1])
        names: list[object] = []
        all_steps: list[object] = []
        all_values: list[object] = []
        for name, (step, value) in by_dataset.get(str(dataset), {}).items():
            n = int(np.searchsorted(step, limit, side="right"))
            if name != str(learner) and n:
                names.append(name)
                all_steps.append(step[:n].tolist())
                all_values.append(value[:n].tolist())
        for column, column_values in zip(SIBLING_COLUMNS, (names, all_steps, all_values), strict=True):
            columns[column].append(column_values)
    lists = {
        name: pd.Series(column_values, index=requests.index, dtype=object) for name, column_values in columns.items()
    }
    return requests.assign(**lists)
