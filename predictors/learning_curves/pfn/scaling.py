"""From a curve in any unit to what the network reads, and back.

Values go to [0, 1] with the better end at 1; steps to doublings since the first observed step, so that units cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.errors import InvalidInputError
from predictors.learning_curves.pfn.prior import FARTHEST, MAX_CONTEXT

__all__ = ["Prefixes", "read_prefixes", "thin"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prefixes:
    """Curves as the network reads them, with the affine map ``metric = offset + slope * value`` of each.

    `log_steps` and `values` have the shape (n, m), padded behind `lengths`; the other arrays (n,).
    """

    log_steps: Floats
    values: Floats
    lengths: NDArray[np.int64]
    targets: Floats
    offset: Floats
    slope: Floats
    lower: Floats
    upper: Floats


def read_prefixes(
    steps: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    target_steps: ArrayLike,
    *,
    lower: ArrayLike,
    upper: ArrayLike,
    higher_is_better: ArrayLike,
) -> Prefixes:
    """Check and scale observed prefixes; see `PriorFittedNetwork.predict_mixture` for the arguments.

    Raises
    ------
    InvalidInputError
        For a curve without points, of unequal lengths, with a value that is not finite or outside its bounds, a
        negative step, or a target before the last observed step. The message names the curve.
    """
    n = len(steps)
    asked = np.asarray(target_steps, dtype=np.float64)
    if len(values) != n or asked.shape != (n,):
        raise InvalidInputError(
            f"`steps`, `values` and `target_steps` must have one entry per curve, got {n}, {len(values)}, {asked.shape}"
        )
    low, high = (np.broadcast_to(np.asarray(b, dtype=np.float64), (n,)) for b in (lower, upper))
    better = np.broadcast_to(np.asarray(higher_is_better, dtype=bool), (n,))
    if np.isnan(low).any() or np.isnan(high).any() or (low >= high).any():
        raise InvalidInputError("`lower` must be below `upper` for every curve; use infinities where there is no bound")
    log_steps, scaled = np.zeros((n, MAX_CONTEXT)), np.zeros((n, MAX_CONTEXT))
    lengths, targets = np.zeros(n, dtype=np.int64), np.zeros(n)
    offset, slope = np.zeros(n), np.ones(n)
    for i in range(n):
        t, y, targets[i] = _points(i, steps[i], values[i], asked[i], low[i], high[i])
        offset[i], slope[i] = _affine(y, low[i], high[i], bool(better[i]))
        t, y = thin(t, (y - offset[i]) / slope[i])
        lengths[i] = t.size
        log_steps[i, : t.size], scaled[i, : t.size] = t, y
    longest = int(lengths.max()) if n else 0
    return Prefixes(
        log_steps[:, :longest], scaled[:, :longest], lengths, targets, offset, slope, low.copy(), high.copy()
    )


def _points(
    i: int, steps: ArrayLike, values: ArrayLike, target: float, lower: float, upper: float
) -> tuple[Floats, Floats, float]:
    """Checked points of one curve in order, duplicates averaged; the target in doublings since the first step."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InvalidInputError(f"curve {i}: needs as many steps as values, at least 1; got {x.shape} and {y.shape}")
    if not np.isfinite(y).all():
        raise InvalidInputError(f"curve {i}: {int((~np.isfinite(y)).sum())} values are not finite; drop those points")
    if not (np.isfinite(x).all() and x.min() >= 0):
        raise InvalidInputError(f"curve {i}: steps must be finite and not negative, got {x.min()} to {x.max()}")
    if y.min() < lower or y.max() > upper:
        raise InvalidInputError(
            f"curve {i}: values from {y.min():g} to {y.max():g} leave the declared bounds [{lower:g}, {upper:g}]; "
            "declare wider bounds"
        )
    if not (np.isfinite(target) and target >= x.max() and target > 0):
        raise InvalidInputError(f"curve {i}: the target step {target:g} lies before the last observed step {x.max():g}")
    if (np.diff(x) <= 0).any():
        x, where = np.unique(x, return_inverse=True)
        y = np.bincount(where, weights=y) / np.bincount(where)
    if x[0] == 0:  # a measurement before the first update: half the first step, whatever the unit
        x = x.copy()
        x[0] = 0.5 * (x[1] if x.size > 1 else target)
    # More doublings than the prior knows are squeezed, not cut: the order of the points stays.
    doublings = np.log2(np.append(x, target) / x[0])
    doublings *= min(1.0, FARTHEST / doublings[-1])
    return doublings[:-1], y, float(doublings[-1])


def _affine(y: Floats, lower: float, upper: float, higher_is_better: bool) -> tuple[float, float]:
    """`offset`, `slope` of ``metric = offset + slope * value``, `slope` negative where lower is better.

    With two bounds, they are the ends. With a bound on the better side only (a loss above 0), the bound is 1 and the
    worst observed value 0.1. Without, the observed range is the middle of the scale, from 0.35 to 0.65.
    """
    if np.isfinite(lower) and np.isfinite(upper):
        return (lower, upper - lower) if higher_is_better else (upper, lower - upper)
    best_end, worst = (upper, float(y.min())) if higher_is_better else (lower, float(y.max()))
    if np.isfinite(best_end) and worst != best_end:
        slope = (best_end - worst) / 0.9
        return best_end - slope, slope
    spread = float(np.ptp(y))
    spread = max(spread, 1e-3 * float(np.abs(y).max()), 1e-12)
    slope = spread / 0.3 if higher_is_better else -spread / 0.3
    return 0.5 * float(y.max() + y.min()) - 0.5 * slope, slope


def thin(t: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most `MAX_CONTEXT` points: the first, the last, and means of what lies between at even log steps."""
    if t.size <= MAX_CONTEXT:
        return t, y
    edges = np.linspace(t[0], t[-1], MAX_CONTEXT - 1)
    place = np.clip(np.searchsorted(edges, t[1:-1], side="right"), 1, MAX_CONTEXT - 2)
    used, where, count = np.unique(place, return_inverse=True, return_counts=True)
    middle_t, middle_y = (np.bincount(where, weights=a[1:-1], minlength=used.size) / count for a in (t, y))
    return np.concatenate([t[:1], middle_t, t[-1:]]), np.concatenate([y[:1], middle_y, y[-1:]])
