"""What a forecast is for: whether more compute is worth its points, and how much to measure before asking.

Compute grows at constant tokens per parameter: a factor f of compute is sqrt(f) of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import BasePredictor
from ..errors import InvalidInputError
from .ladder import Ladder, read_ladders

FACTORS = (1.5, 2.0, 4.0, 10.0, 30.0, 100.0)
LARGEST_FACTOR = 1000.0
MAX_DRAWS = 1000
POWER = 2.802
"""Standard errors of a difference that is seen at the 5 % level four times in five: z(.975) + z(.8)."""


def points_of_compute(
    predictor: BasePredictor, row: pd.DataFrame, factors: Sequence[float] = FACTORS, *, coverage: float = 0.9
) -> pd.DataFrame:
    """How many points more compute buys over the largest measured model.

    `row` is one row of `LadderRequests`, whose target is replaced; `factors` are multiples of the largest measured
    model's compute; `coverage` is that of the intervals.

    Returns
    -------
    DataFrame
        One row per factor: ``factor``, ``target_flops``, ``score``, ``score_lower``, ``score_upper``, ``gain``,
        ``gain_lower``, ``gain_upper`` (points above the measured score), ``noise_floor`` (the mean absolute difference,
        in points, between two measurements of one model that has not changed), ``is_resolved`` (whether the whole
        interval of the gain lies above the floor) and ``abstain``.
    """
    ladder = _only(row)
    measured = ladder.errors[np.isfinite(ladder.errors)]
    items = 1000.0 if np.isnan(ladder.n_items) else ladder.n_items
    share = float(np.clip(ladder.scores[-1] / 100, 0.0, 1.0))
    sampling = score_error(share, int(max(items, 1)), 1)
    error = float(np.median(measured)) if measured.size else sampling
    floor = 2.0 * error / np.sqrt(np.pi)
    asked = _at_compute(row, ladder, factors)
    interval = predictor.predict_interval(asked, coverage)
    score = predictor.predict(asked)
    today = float(ladder.scores[-1])
    extra = predictor.extra_columns(asked, interval)
    lower = interval["lower"] - today
    return pd.DataFrame({
        "factor": list(factors), "target_flops": asked["target_flops"], "score": score,
        "score_lower": interval["lower"], "score_upper": interval["upper"], "gain": score - today, "gain_lower": lower,
        "gain_upper": interval["upper"] - today, "noise_floor": floor, "is_resolved": lower > floor,
        "abstain": extra.get("abstain", False),
    })  # fmt: skip


def smallest_worthwhile_compute(
    predictor: BasePredictor, row: pd.DataFrame, wanted_points: float, *, certainty: float = 0.5
) -> float:
    """Smallest multiple of today's compute that buys `wanted_points` with probability `certainty`.

    Infinite where more than `LARGEST_FACTOR` times as much is needed.
    """
    if not 0 < certainty < 1 or not wanted_points > 0:
        raise InvalidInputError("`certainty` must be in (0, 1) and `wanted_points` positive")
    ladder = _only(row)
    factors = np.geomspace(1.05, LARGEST_FACTOR, 60)
    asked = _at_compute(row, ladder, factors.tolist())
    score = predictor.predict_quantiles(asked, (1 - certainty,)).iloc[:, 0].to_numpy()
    enough = score >= ladder.scores[-1] + wanted_points
    return float(factors[enough.argmax()]) if enough.any() else float("inf")


def _at_compute(row: pd.DataFrame, ladder: Ladder, factors: Sequence[float]) -> pd.DataFrame:
    """The row once per factor, with that multiple of the largest model's compute as target."""
    without_target = row[[name for name in row.columns if not str(name).startswith("target_")]]
    asked = without_target.iloc[np.zeros(len(factors), dtype=int)].reset_index(drop=True)
    scale = np.asarray(factors, dtype=np.float64)
    asked["target_flops"] = ladder.flops[-1] * scale
    if np.isfinite(ladder.params[-1]) and np.isfinite(ladder.tokens[-1]):
        asked["target_params"] = ladder.params[-1] * np.sqrt(scale)
        asked["target_tokens"] = ladder.tokens[-1] * np.sqrt(scale)
    return asked


def _only(row: pd.DataFrame) -> Ladder:
    if len(row) != 1:
        raise InvalidInputError(f"`row` must be one forecast, got {len(row)} rows")
    ladder = read_ladders(row.assign(target_flops=1.0))[0]
    if not len(ladder):
        raise InvalidInputError("`row` holds no measured model")
    return ladder


def score_error(mean: float, n_items: int, n_draws: int) -> float:
    """Standard error, in points, of a mean pass rate `mean` (0-1).

    ``100 sqrt(s^2 / I + (m (1 - m) - s^2) / (I K))`` for I items, K draws of each and pass rates that differ between
    items with standard deviation s, taken to be half of the largest possible, ``sqrt(m (1 - m))``.
    """
    if not 0 <= mean <= 1 or n_items < 1 or n_draws < 1:
        raise InvalidInputError("`mean` must be in 0-1, `n_items` and `n_draws` 1 or more")
    total = mean * (1 - mean)
    between = total / 4
    return float(100 * np.sqrt(between / n_items + (total - between) / (n_items * n_draws)))


@dataclass(frozen=True)
class MeasurementPlan:
    """How many items, and draws of each, reach a precision at the least cost."""

    n_items: int
    n_draws: int
    standard_error: float
    cost: float


def plan_measurement(wanted_error: float, mean: float, *, item_cost: float = 1.0) -> MeasurementPlan:
    """The cheapest numbers of items and draws that give a standard error of `wanted_error` points.

    A cost is ``n_items * (item_cost + n_draws)``, in draws. To tell two models d points apart with power 80 % at the
    5 % level, ask for an error of ``d / 2.8 / sqrt(2)`` each.
    """
    if not wanted_error > 0 or not item_cost >= 0:
        raise InvalidInputError("`wanted_error` must be positive, `item_cost` not negative")
    draws = np.arange(1, MAX_DRAWS + 1)
    unit = np.array([score_error(mean, 1, k) for k in draws.tolist()])
    items = np.maximum(np.ceil(np.round((unit / wanted_error) ** 2, 9)), 1)
    cost = items * (item_cost + draws)
    best = int(cost.argmin())
    error = score_error(mean, int(items[best]), int(draws[best]))
    return MeasurementPlan(int(items[best]), int(draws[best]), error, float(cost[best]))


@dataclass(frozen=True)
class ComputePlan:
    """What more compute buys on each task, and what it takes to see the wanted points.

    Attributes
    ----------
    points : DataFrame
        One row per task and factor of compute: `task` and the columns of `points_of_compute`.
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
    """Plan for every ladder of `rows`, valid under `LadderRequests`; targets are not needed and not read.

    `wanted` are the points that are worth having, `certainty` the probability with which compute is to buy them,
    `item_cost` what an item costs beside its draws, in draws.

    Raises
    ------
    InvalidInputError
        If a number is out of range or a row holds no measured model.
    """
    if not wanted > 0:
        raise InvalidInputError(f"`--wanted` must be more than 0 points, got {wanted:g}")
    points, tasks = [], []
    for place, task in enumerate(_task_names(rows)):
        row = rows.iloc[[place]]
        bought = points_of_compute(predictor, row)
        points.append(bought.assign(task=task)[["task", *bought.columns]])
        ladder = _only(row)
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


def _task_names(rows: pd.DataFrame) -> list[str]:
    """The benchmark of each row, with its place where that is missing or stands in several rows."""
    names = rows["benchmark"] if "benchmark" in rows else pd.Series(pd.NA, index=rows.index)
    places = [f"row {place}" for place in range(1, len(rows) + 1)]
    listed = zip(names, names.notna(), names.duplicated(keep=False), places, strict=True)
    return [(f"{name} ({place})" if again else str(name)) if named else place for name, named, again, place in listed]
