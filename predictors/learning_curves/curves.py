"""Observed beginnings of curves as arrays on one scale: 0 is the worst value there can be, 1 the best.

Whatever the metric (rising or falling, bounded or not) and the unit of the budget, a batch holds unit-scale values
against the logarithm of the budget over the first one observed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.schemas.learning_curves import as_points

__all__ = ["MAX_POINTS", "CurveBatch", "UnitScale", "lower_is_better", "read_curves"]

Floats: TypeAlias = NDArray[np.float64]
MAX_POINTS = 64
"""Points of a prefix at most; denser curves are averaged within bins of equal width in the log budget."""
LEAST_ERROR = 1e-4
_FALLING = re.compile(r"loss|error|perplex|rmse|mae\b|mse\b|nll|crossentropy|cross_entropy|wer\b", re.IGNORECASE)


@dataclass(frozen=True)
class UnitScale:
    """Maps values of n metrics to [0, 1], best is 1: ``worst`` and ``best`` have shape (n,)."""

    worst: Floats
    best: Floats

    def to_unit(self, values: Floats) -> Floats:
        """Unit-scale values; (n,) or (n, k)."""
        worst, span = self._shaped(values)
        return np.asarray((values - worst) / span)

    def from_unit(self, unit: Floats) -> Floats:
        """Values in the metric's unit; (n,) or (n, k)."""
        worst, span = self._shaped(unit)
        return np.asarray(worst + unit * span)

    @property
    def span(self) -> Floats:
        """Width of the range in the metric's unit, > 0, shape (n,)."""
        return np.abs(self.best - self.worst)

    def _shaped(self, values: Floats) -> tuple[Floats, Floats]:
        shape = (-1,) + (1,) * (values.ndim - 1)
        return self.worst.reshape(shape), (self.best - self.worst).reshape(shape)


@dataclass(frozen=True)
class CurveBatch:
    """Beginnings of n curves, at most k points each.

    Attributes
    ----------
    log_x, values, errors : ndarrays of shape (n, k)
        Log of the budget over the first one, unit-scale values and their standard errors (NaN where unknown);
        padded at the end with 0.
    lengths : ndarray of int of shape (n,)
        Points of each curve, at least 1.
    target : ndarray of shape (n,)
        Log of the asked budget over the first one.
    scale : UnitScale
        Back to the unit of each metric.
    diverged : ndarray of bool of shape (n,)
        Whether points were NaN or infinite; they are left out.
    first_step : ndarray of shape (n,)
        The first budget, in its own unit, > 0.
    """

    log_x: Floats
    values: Floats
    errors: Floats
    lengths: NDArray[np.intp]
    target: Floats
    scale: UnitScale
    diverged: NDArray[np.bool_]
    first_step: Floats

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which entries are points, shape (n, k)."""
        return np.asarray(np.arange(self.log_x.shape[1]) < self.lengths[:, None])

    @property
    def last(self) -> Floats:
        """Last observed value of each curve, unit scale."""
        return self.values[np.arange(len(self)), self.lengths - 1]

    @property
    def last_log_x(self) -> Floats:
        """Log budget of the last observed point."""
        return self.log_x[np.arange(len(self)), self.lengths - 1]

    @property
    def spans(self) -> Floats:
        """Horizon (log of the asked over the last observed budget, >= 0) and number of points, shape (n, 2)."""
        return np.column_stack([np.maximum(self.target - self.last_log_x, 0.0), self.lengths])

    def weights(self, misfit: float) -> Floats:
        """Inverse standard deviations of the points (0 = none): measured errors and a misfit of the family."""
        known = np.where(np.isnan(self.errors), misfit, self.errors)
        return np.asarray(np.where(self.seen, 1.0 / np.hypot(known, misfit), 0.0))

    def take(self, rows: NDArray[np.intp]) -> CurveBatch:
        """Some of the curves, without needless padding."""
        k = int(self.lengths[rows].max(initial=1))
        scale = UnitScale(self.scale.worst[rows], self.scale.best[rows])
        return CurveBatch(
            self.log_x[rows, :k], self.values[rows, :k], self.errors[rows, :k], self.lengths[rows], self.target[rows],
            scale, self.diverged[rows], self.first_step[rows],
        )  # fmt: skip

    def shortened(self, lengths: NDArray[np.intp]) -> CurveBatch:
        """The same curves with only their first `lengths` points, which are at most those there are."""
        k = int(lengths.max(initial=1))
        seen = np.arange(k) < lengths[:, None]
        parts = [np.where(seen, a[:, :k], 0.0) for a in (self.log_x, self.values, self.errors)]
        return CurveBatch(parts[0], parts[1], parts[2], lengths, self.target, self.scale, self.diverged,
                          self.first_step)  # fmt: skip


def lower_is_better(metric: str | None) -> bool:
    """Whether a metric of this name is one to bring down; False where the name tells nothing."""
    return bool(metric) and _FALLING.search(str(metric)) is not None


def read_curves(X: pd.DataFrame) -> CurveBatch:
    """Curves of requests that are valid under `CurveRequests`."""
    n = len(X)
    steps = [as_points(s) for s in X["steps"]]
    values = [as_points(v) for v in X["values"]]
    errors = [as_points(e) for e in X["standard_errors"]] if "standard_errors" in X else [np.empty(0)] * n
    finite = [np.isfinite(v) for v in values]
    diverged = np.array([not f.all() for f in finite], dtype=bool)
    target = X["target_step"].to_numpy(dtype=np.float64)
    scale = _scale(X, [v[f] for v, f in zip(values, finite, strict=True)])
    rows = []
    for i in range(n):
        error = errors[i] if errors[i].size else np.full(values[i].size, np.nan)
        shift = _shift(steps[i], target[i])
        point = (steps[i][finite[i]] + shift, values[i][finite[i]], error[finite[i]], target[i] + shift)
        rows.append(_thinned(*point))
    lengths = np.array([len(s) for s, *_ in rows], dtype=np.intp)
    k = int(lengths.max(initial=1))
    first = np.array([s[0] for s, *_ in rows], dtype=np.float64)
    log_x, padded, padded_errors = (np.zeros((n, k)) for _ in range(3))
    for i, (step, value, error, _) in enumerate(rows):
        m = lengths[i]
        log_x[i, :m], padded[i, :m], padded_errors[i, :m] = np.log(step / first[i]), value, error
    unit = np.clip(scale.to_unit(padded), 0.0, 1.0)
    ends = np.log(np.maximum(np.array([end for *_, end in rows], dtype=np.float64) / first, 1.0)) if n else np.empty(0)
    span = scale.span[:, None]
    return CurveBatch(log_x, unit, padded_errors / span, lengths, ends, scale, diverged, first)


def _shift(steps: Floats, target: float) -> float:
    """What to add to budgets that start at 0, so that logarithms exist: the first gap."""
    if steps[0] > 0:
        return 0.0
    return float(steps[1] - steps[0]) if steps.size > 1 else max(target / 100.0, 1e-9)


def _thinned(steps: Floats, values: Floats, errors: Floats, target: float) -> tuple[Floats, Floats, Floats, float]:
    if steps.size <= MAX_POINTS:
        return steps, values, errors, target
    log = np.log(steps)
    edges = np.linspace(log[0], log[-1], MAX_POINTS + 1)
    bins = np.unique(np.clip(np.searchsorted(edges, log, side="right") - 1, 0, MAX_POINTS - 1), return_inverse=True)[1]
    count = np.bincount(bins)

    def mean(a: Floats) -> Floats:
        return np.asarray(np.bincount(bins, weights=a) / count)

    value = mean(values)
    spread = np.sqrt(np.maximum(mean(values**2) - value**2, 0.0) / count)
    known = np.sqrt(mean(np.nan_to_num(errors) ** 2) / count)
    return (
        np.exp(mean(log)),
        value,
        np.where(np.isnan(errors).any() & (count < 3), np.nan, np.hypot(spread, known)),
        target,
    )


def _scale(X: pd.DataFrame, values: Sequence[Floats]) -> UnitScale:
    n = len(X)
    low = np.array([v.min() for v in values], dtype=np.float64)
    high = np.array([v.max() for v in values], dtype=np.float64)
    last = np.array([v[-1] for v in values], dtype=np.float64)
    unit = (low >= 0) & (high <= 1)
    lower = np.where(unit | (low >= 0), 0.0, -np.inf)
    upper = np.where(unit, 1.0, np.inf)
    lower = _declared(X, "lower_bound", lower)
    upper = _declared(X, "upper_bound", upper)
    falls = [lower_is_better(m if isinstance(m, str) else None) for m in X["metric"]] if "metric" in X else [False] * n
    rising = ~np.array(falls, dtype=bool)
    if "higher_is_better" in X:
        told = X["higher_is_better"]
        rising = np.where(told.notna(), told.fillna(True).to_numpy(dtype=bool), rising)
    # A range without an end ends where the curve would have moved ten times as far as it has, or lost its whole value.
    spread = np.maximum(high - low, 1e-3 * np.maximum(np.abs(last), 1e-6))
    reach = np.maximum(10 * spread, np.abs(last))
    lower = np.where(np.isfinite(lower), lower, np.where(rising, low - 2 * spread, last - reach))
    upper = np.where(np.isfinite(upper), upper, np.where(rising, last + reach, high + 2 * spread))
    upper = np.where(upper > lower, upper, lower + 1.0)
    return UnitScale(np.where(rising, lower, upper), np.where(rising, upper, lower))


def _declared(X: pd.DataFrame, name: str, default: Floats) -> Floats:
    if name not in X:
        return default
    told = X[name].to_numpy(dtype=np.float64)
    return np.where(np.isnan(told), default, told)
