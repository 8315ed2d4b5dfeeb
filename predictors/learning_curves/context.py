"""Sibling curves of a forecast: other learners on the same data set, as list columns of `CurveRequests`."""

from typing import Literal

import numpy as np
import pandas as pd

from ..arrays import Floats
from ..errors import InvalidInputError
from ..schemas.learning_curves import SIBLING_COLUMNS, as_points


def attach_siblings(
    requests: pd.DataFrame, curves: pd.DataFrame, *, extent: Literal["same_budget", "complete"]
) -> pd.DataFrame:
    """Add to each request what other learners have shown on its data set.

    `requests` are valid under `CurveRequests`, with `dataset` and `learner`; `curves` has a row per point: `dataset`,
    `learner`, `step`, `value`, in the metric's unit. The request's own learner is left out. With ``"same_budget"``
    siblings are known up to the request's last observed step, as when all learners are trained side by side; with
    ``"complete"`` they have finished, as when one more learner is tried on a data set with history.

    Returns `requests` with the three columns `SIBLING_COLUMNS`; empty lists where there are none.

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
    by_dataset: dict[str, list[tuple[str, Floats, Floats]]] = {}
    for (dataset, learner), part in ordered.groupby(["dataset", "learner"], sort=False):
        points = part[["step", "value"]].to_numpy(dtype=np.float64).T
        by_dataset.setdefault(str(dataset), []).append((str(learner), *points))
    rows = []
    for dataset, learner, steps in zip(requests["dataset"], requests["learner"], requests["steps"], strict=True):
        limit = np.inf if extent == "complete" else float(as_points(steps)[-1])
        others = [(name, step[step <= limit].tolist(), value[step <= limit].tolist())
                  for name, step, value in by_dataset.get(str(dataset), []) if name != str(learner)]  # fmt: skip
        rows.append([[curve[place] for curve in others if curve[1]] for place in range(3)])
    return requests.assign(**pd.DataFrame(rows, requests.index, SIBLING_COLUMNS, dtype=object))
