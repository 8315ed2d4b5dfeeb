"""Observed beginnings of curves as arrays on one scale: 0 is the worst value there can be, 1 the best.

Whatever the metric (rising or falling, bounded or not) and the unit of the budget, a batch holds unit-scale values
against the logarithm of the budget over the first one observed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, Mask, names_of, numbers_of
from ..schemas.learning_curves import as_points

STRIDE = 0.5 * np.log(2)
"""Log budget between two points of a prefix: half a doubling, at which LCDB's anchors stand."""
WIDEST = 4
"""Places of the grid in a row that may be read between two points."""
MAX_POINTS = 32
"""Points of a prefix at most, as many as the network reads: 16 doublings, and what was before as one point."""
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
    def sign(self) -> Floats:
        """1 where higher is better, else -1, shape (n,)."""
        return np.where(self.best > self.worst, 1.0, -1.0)

    @property
    def span(self) -> Floats:
        """Width of the range in the metric's unit, > 0, shape (n,)."""
        return np.abs(self.best - self.worst)

    def take(self, rows: Codes) -> "UnitScale":
        """The scales of `rows`."""
        return UnitScale(self.worst[rows], self.best[rows])

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
    first_step, shift : ndarrays of shape (n,)
        The first budget, in its own unit, > 0; what was added to budgets that start at 0, so that it is.
    """

    log_x: Floats
    values: Floats
    errors: Floats
    lengths: Codes
    target: Floats
    scale: UnitScale
    diverged: Mask
    first_step: Floats
    shift: Floats

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def seen(self) -> Mask:
        """Which entries are points, shape (n, k)."""
        return np.asarray(np.arange(self.log_x.shape[1]) < self.lengths[:, None])

    def from_end(self, points: Floats, back: int = 0) -> Floats:
        """What `points` (n, k) hold so many places before each curve's last point, at most at its first, shape (n,)."""
        return points[np.arange(len(self)), np.maximum(self.lengths - 1 - back, 0)]

    @property
    def last(self) -> Floats:
        """Last observed value of each curve, unit scale, shape (n,)."""
        return self.from_end(self.values)

    @property
    def last_log_x(self) -> Floats:
        """Log budget of the last observed point, shape (n,)."""
        return self.from_end(self.log_x)

    @property
    def spans(self) -> Floats:
        """Horizon (log of the asked over the last observed budget, >= 0) and number of points, shape (n, 2)."""
        return np.column_stack([np.maximum(self.target - self.last_log_x, 0.0), self.lengths])

    def take(self, rows: Codes) -> "CurveBatch":
        """Some of the curves, without needless padding."""
        k = int(self.lengths[rows].max(initial=1))
        return CurveBatch(
            self.log_x[rows, :k], self.values[rows, :k], self.errors[rows, :k], self.lengths[rows], self.target[rows],
            self.scale.take(rows), self.diverged[rows], self.first_step[rows], self.shift[rows],
        )  # fmt: skip

    def shortened(self, lengths: Codes) -> "CurveBatch":
        """The same curves with only their first `lengths` points, which are at most those there are."""
        k = int(lengths.max(initial=1))
        seen = np.arange(k) < lengths[:, None]
        parts = [np.where(seen, a[:, :k], 0.0) for a in (self.log_x, self.values, self.errors)]
        return replace(self, log_x=parts[0], values=parts[1], errors=parts[2], lengths=lengths)


def lower_is_better(metric: str | None) -> bool:
    """Whether a metric of this name is one to bring down; False where the name tells nothing."""
    return bool(metric) and _FALLING.search(str(metric)) is not None


def read_curves(X: pd.DataFrame) -> CurveBatch:
    """Curves of requests that are valid under `CurveRequests`."""
    n = len(X)
    steps, values = ([as_points(points) for points in X[name]] for name in ("steps", "values"))
    errors = [as_points(e) for e in X["standard_errors"]] if "standard_errors" in X else [np.empty(0)] * n
    finite = [np.isfinite(v) for v in values]
    diverged = np.array([not f.all() for f in finite], dtype=bool)
    target = X["target_step"].to_numpy(dtype=np.float64)
    # Budgets that start at 0 are moved, so that logarithms exist, by the same however densely they are logged.
    shift = np.array([0.0 if s[0] > 0 else max(t / 100.0, 1e-9) for s, t in zip(steps, target, strict=True)])
    rows = []
    for i in range(n):
        error = errors[i] if errors[i].size else np.full(values[i].size, np.nan)
        rows.append(_on_grid(steps[i][finite[i]] + shift[i], values[i][finite[i]], error[finite[i]]))
    lengths = np.array([len(s) for s, *_ in rows], dtype=np.intp)
    k = int(lengths.max(initial=1))
    first = np.array([s[0] for s, *_ in rows], dtype=np.float64)
    scale = _scale(X, [v[f] for v, f in zip(values, finite, strict=True)], [value for _, value, _ in rows])
    log_x, padded, padded_errors = (np.zeros((n, k)) for _ in range(3))
    for i, (step, value, error) in enumerate(rows):
        m = lengths[i]
        log_x[i, :m], padded[i, :m], padded_errors[i, :m] = np.log(step / first[i]), value, error
    unit = np.clip(scale.to_unit(padded), 0.0, 1.0)
    ends = np.log(np.maximum((target + shift) / first, 1.0))
    span = scale.span[:, None]
    return CurveBatch(log_x, unit, padded_errors / span, lengths, ends, scale, diverged, first, shift)


def _on_grid(steps: Floats, values: Floats, errors: Floats) -> tuple[Floats, Floats, Floats]:
    """The curve at about every half doubling of the budget up to its last point, so that its density tells nothing.

    Points between two places of the grid are averaged, as is their noise; in a wider gap the line between its ends is
    read, unless it is so wide that nothing is known of what lies there. The last point stands for itself: it is what
    the rest of the curve goes on from.
    """
    log = np.log(steps)
    place = np.maximum(np.rint((log[-1] - log) / STRIDE), 1.0)
    place[-1] = 0.0
    used, of = np.unique(-np.minimum(place, MAX_POINTS - 1), return_inverse=True)
    count = np.bincount(of)

    def mean(a: Floats) -> Floats:
        return np.asarray(np.bincount(of, weights=a) / count)

    x, y = mean(log), mean(values)
    spread = np.sqrt(np.maximum(mean(values**2) - y**2, 0.0) / count)
    measured = np.sqrt(mean(np.nan_to_num(errors) ** 2) / count)
    error = np.where(np.isnan(errors).any() & (count < 3), np.nan, np.hypot(spread, measured))
    missing = np.diff(used, append=used[-1] + 1) - 1
    gaps = [used[i] + 1 + np.arange(missing[i]) for i in np.flatnonzero((missing > 0) & (missing <= WIDEST))]
    if gaps:
        places = np.concatenate([used, *gaps])
        between = log[-1] + places[len(used) :] * STRIDE
        x, y, error = (np.r_[a, np.interp(between, x, a)][np.argsort(places)] for a in (x, y, error))
    # Nothing remains of a run that is at its end: no digit of the last budget may be lost.
    return np.r_[np.exp(x[:-1]), steps[-1:]], y, error


def _scale(X: pd.DataFrame, values: Sequence[Floats], on_grid: Sequence[Floats]) -> UnitScale:
    n = len(X)
    low = np.array([v.min() for v in values], dtype=np.float64)
    high = np.array([v.max() for v in values], dtype=np.float64)
    last = np.array([v[-1] for v in values], dtype=np.float64)
    rising = ~np.array([lower_is_better(metric) for metric in names_of(X, "metric")], dtype=bool)
    if "higher_is_better" in X:
        is_better = X["higher_is_better"]
        rising = np.where(is_better.notna(), is_better.fillna(True).to_numpy(dtype=bool), rising)
    # A loss below 1 is no share: nothing says that it ends there.
    usual = np.where(low >= 0, 0.0, -np.inf), np.where((low >= 0) & (high <= 1) & rising, 1.0, np.inf)
    declared = numbers_of(X, "lower_bound"), numbers_of(X, "upper_bound")
    lower, upper = (np.where(np.isnan(end), default, end) for end, default in zip(declared, usual, strict=True))
    # A range without an end ends where the curve would have moved ten times as far as it has, or lost its whole value;
    # how far it has moved is read where it is usual, since a run may start, or break, at any height.
    fences = [_fences(v) for v in on_grid]
    low, high = (np.array(side, dtype=np.float64) for side in zip(*fences, strict=True)) if n else (low, high)
    spread = np.maximum(high - low, 1e-3 * np.maximum(np.abs(last), 1e-6))
    reach = np.maximum(10 * spread, np.abs(last))
    lower = np.where(np.isfinite(lower), lower, np.where(rising, low - 2 * spread, last - reach))
    upper = np.where(np.isfinite(upper), upper, np.where(rising, last + reach, high + 2 * spread))
    upper = np.where(upper > lower, upper, lower + 1.0)
    return UnitScale(np.where(rising, lower, upper), np.where(rising, upper, lower))


def _fences(values: Floats) -> tuple[float, float]:
    """Least and greatest of (k,) values that do not lie apart from the rest: within three quartile ranges of it."""
    q1, q3 = np.quantile(values, [0.25, 0.75])
    usual = values[(values >= q1 - 3 * (q3 - q1)) & (values <= q3 + 3 * (q3 - q1))]
    return float(min(usual.min(), values[-1])), float(max(usual.max(), values[-1]))
