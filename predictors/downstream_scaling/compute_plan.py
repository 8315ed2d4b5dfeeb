"""How many points more compute buys on each task of a file of ladders, and how much to measure to see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import BasePredictor
from ..errors import InvalidInputError
from .decisions import plan_measurement, points_of_compute, score_error, smallest_worthwhile_compute
from .ladder import read_ladders

POWER = 2.802
"""Standard errors of a difference that is seen at the 5 % level four times in five: z(.975) + z(.8)."""


@dataclass(frozen=True)
class ComputePlan:
    """What more compute buys on each task, and what it takes to see the wanted points.

    Attributes
    ----------
    points : DataFrame
        One row per task and factor of compute: `task` and the columns of
        `decisions.points_of_compute`.
    tasks : DataFrame
        One row per task: `task`, `score` (of the largest measured model), `compute_needed` (factor that buys the wanted
        points with the wanted certainty; infinite beyond 1,000), `items` and `draws` to measure each of two models
        with so that the wanted difference is seen four times in five, `items_now`, `seen_now` (the difference that
        the present items show so often; NaN where their number is not known), and `abstain`.
    wanted : float
        Points that are worth having.
    certainty : float
        Probability with which compute is to buy them.
    """

    points: pd.DataFrame
    tasks: pd.DataFrame
    wanted: float
    certainty: float

    def rows(self) -> pd.DataFrame:
        """One row per task and factor of compute: `points` with what `tasks` says of the task (its score: `score_now`).

        The `abstain` of a row is that of its forecast.
        """
        of_task = self.tasks.drop(columns="abstain").rename(columns={"score": "score_now"})
        return self.points.merge(of_task, on="task", how="left", validate="m:1")


def plan_compute(
    predictor: BasePredictor, rows: pd.DataFrame, wanted: float, *, certainty: float = 0.8, item_cost: float = 0.0
) -> ComputePlan:
    """Plan for every ladder of `rows`.

    Parameters
    ----------
    predictor : BasePredictor
        Fitted downstream-scaling predictor.
    rows : DataFrame of shape (n_tasks, n_columns)
        Valid under `LadderRequests`; targets are not needed and not read.
    wanted : float
        Points that are worth having (> 0).
    certainty : float, optional
        Probability with which compute is to buy them.
    item_cost : float, optional
        What an item costs beside its draws, in draws.

    Raises
    ------
    InvalidInputError
        If a number is out of range or a row holds no measured model.
    """
    if not wanted > 0:
        raise InvalidInputError(f"`--wanted` must be more than 0 points, got {wanted:g}")
    names = rows["benchmark"] if "benchmark" in rows else pd.Series(pd.NA, index=rows.index)
    points, tasks = [], []
    for place, index in enumerate(rows.index):
        row = rows.loc[[index]]
        task = str(names[index]) if pd.notna(names[index]) else f"row {place + 1}"
        bought = points_of_compute(predictor, row)
        points.append(bought.assign(task=task)[["task", *bought.columns]])
        ladder = read_ladders(row.assign(target_flops=1.0))[0]
        mean = float(np.clip(ladder.scores[-1] / 100, 0.01, 0.99))
        measurement = plan_measurement(wanted / POWER / np.sqrt(2), mean, item_cost=item_cost)
        has_items = np.isfinite(ladder.n_items)
        seen = POWER * np.sqrt(2) * score_error(mean, int(ladder.n_items), 1) if has_items else np.nan
        tasks.append({
            "task": task, "score": float(ladder.scores[-1]),
            "compute_needed": smallest_worthwhile_compute(predictor, row, wanted, certainty=certainty),
            "items": measurement.n_items, "draws": measurement.n_draws, "items_now": ladder.n_items, "seen_now": seen,
            "abstain": bool(bought["abstain"].any()),
        })  # fmt: skip
    return ComputePlan(pd.concat(points, ignore_index=True), pd.DataFrame(tasks), wanted, certainty)
