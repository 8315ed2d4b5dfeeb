"""Columns that the stack learns from: the observed beginning, the learner and its siblings."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from ..arrays import Floats
from ..schemas.learning_curves import SIBLING_COLUMNS, as_points
from .curves import CurveBatch

LAGS = 3
LIKENESS = 0.05
"""Distance between two curves, unit scale, at which a sibling's say falls by a factor e."""
COMPLETE = 0.7
"""Share of the asked budget that a sibling must have reached to count as complete."""


Siblings: TypeAlias = Sequence[tuple[str, Floats, Floats]]
"""Curves of other learners on the data set of one forecast: names, log budgets (over the first one of the forecast's
own curve) and unit-scale values."""


def prefix_columns(batch: CurveBatch) -> Floats:
    """What the observed points say by themselves, shape (n, 15)."""
    n_points, last = batch.lengths, batch.last
    lags = [np.where(n_points > j, last - batch.from_end(batch.values, j), np.nan) for j in range(1, LAGS + 1)]
    highest = np.where(batch.seen, batch.values, -np.inf).max(axis=1)
    lowest = np.where(batch.seen, batch.values, np.inf).min(axis=1)
    first = batch.values[:, 0]
    errors = batch.from_end(batch.errors), batch.errors[:, 0]
    slope = last - batch.from_end(batch.values, 1)
    gap = batch.last_log_x - batch.from_end(batch.log_x, 1)
    return np.column_stack([
        n_points, last, *lags, first, last - first, highest - last, lowest - last, *errors, batch.last_log_x,
        batch.target - batch.last_log_x, batch.target, np.where(gap > 0, slope / np.maximum(gap, 1e-9), np.nan),
    ])  # fmt: skip


def point_forecasts(batch: CurveBatch, median: Floats) -> Floats:
    """Simple forecasts relative to the last value: the network's `median` (n,), means of the last two and three
    points; shape (n, 3)."""
    totals = np.cumsum([batch.from_end(batch.values, back) for back in (0, 1, 2)], axis=0)
    return np.column_stack([median, totals[1] / 2 - batch.last, totals[2] / 3 - batch.last])


def read_siblings(X: pd.DataFrame, batch: CurveBatch) -> list[Siblings]:
    """Siblings of every request; empty where none are given."""
    if "sibling_learners" not in X:
        return [()] * len(X)
    out: list[Siblings] = []
    for i, lists in enumerate(zip(*(X[name] for name in SIBLING_COLUMNS), strict=True)):
        worst, span = batch.scale.worst[i], batch.scale.best[i] - batch.scale.worst[i]
        curves = []
        for name, step, value in zip(*(column if hasattr(column, "__len__") else () for column in lists), strict=True):
            x, y = as_points(step), as_points(value)
            usable = np.isfinite(y) & np.isfinite(x) & (x > 0)
            if usable.any():
                curves.append((str(name), np.log(x[usable] / batch.first_step[i]), (y[usable] - worst) / span))
        out.append(curves)
    return out


def sibling_columns(batch: CurveBatch, siblings: Sequence[Siblings], learners: Sequence[str]) -> Floats:
    """What the siblings say, relative to the last observed value.

    Returns
    -------
    ndarray of shape (n, 16 + 2 n_learners)
        Counts, summaries over siblings at the last observed and at the asked budget, means weighted by likeness to
        the curve, then for each of `learners` its sibling's value at both budgets; NaN where there is none.
    """
    place = {name: j for j, name in enumerate(learners)}
    out = np.full((len(batch), 16 + 2 * len(learners)), np.nan)
    out[:, :2] = 0.0
    for i, others in enumerate(siblings):
        if others:
            m = batch.lengths[i]
            observed = batch.log_x[i, :m], batch.values[i, :m]
            out[i] = _one_row(observed, float(batch.target[i]), others, place, out.shape[1])
    return out


def _one_row(
    observed: tuple[Floats, Floats], target: float, siblings: Siblings, place: dict[str, int], width: int
) -> Floats:
    row = np.full(width, np.nan)
    log_x, values = observed
    last = values[-1]
    here, end, likeness = np.array(list(_read_each(log_x, values, target, siblings)), dtype=np.float64).T
    weight = np.exp(-np.minimum(likeness, 10.0) / LIKENESS) + 1e-6
    row[:2] = np.isfinite(here).sum(), np.isfinite(end).sum()
    row[2:7] = _summary(here - last, weight)
    row[7:12] = _summary(end - here, weight)
    row[12:15] = _summary(end - last, weight)[[1, 3, 4]]
    row[15] = likeness.min()
    n = (width - 16) // 2
    for (name, *_), at, final in zip(siblings, here, end, strict=True):
        if name in place:
            row[16 + place[name]], row[16 + n + place[name]] = at - last, final - last
    return row


def _summary(gaps: Floats, weight: Floats) -> Floats:
    """Mean, median, least, greatest and weighted mean of the finite of (k,) gaps; NaN where there is none."""
    is_there = np.isfinite(gaps)
    if not is_there.any():
        return np.full(5, np.nan)
    gaps = gaps[is_there]
    return np.array([gaps.mean(), np.median(gaps), gaps.min(), gaps.max(), np.average(gaps, weights=weight[is_there])])


def _read_each(
    log_x: Floats, values: Floats, target: float, siblings: Siblings
) -> Iterator[tuple[float, float, float]]:
    """Of each sibling: value at the last observed budget, at the asked one, and distance from the own curve."""
    for _, x, y in siblings:
        here = float(np.interp(log_x[-1], x, y)) if x[0] <= log_x[-1] <= x[-1] + 1e-9 else np.nan
        end = float(np.interp(target, x, y)) if x[-1] >= target + np.log(COMPLETE) else np.nan
        common = (log_x >= x[0] - 1e-9) & (log_x <= x[-1] + 1e-9)
        distance = np.sqrt(np.mean((np.interp(log_x[common], x, y) - values[common]) ** 2)) if common.any() else 1.0
        yield here, end, float(distance)
