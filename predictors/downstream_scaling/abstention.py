"""When a ladder cannot carry a forecast, and why in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.downstream_scaling.cod import UNIT_FLOPS, forecast_cod, unit_of_ladder
from predictors.downstream_scaling.ladder import Ladder

__all__ = ["Doubts", "doubts"]

LEAST_LEVELS = 4
FALL_POINTS = 5.0
JUMP_SHARE = 0.35
MAX_REACH = 3.0


@dataclass(frozen=True)
class Doubts:
    """Why a ladder's forecast should not be relied upon.

    Attributes
    ----------
    reasons : tuple of str
        Empty where there is none.
    is_monotone : bool
        Whether no score falls below an earlier one by more than noise and `FALL_POINTS`.
    predictable_ratio : float
        Share of the items in clusters that scale; NaN where items are not known.
    """

    reasons: tuple[str, ...]
    is_monotone: bool
    predictable_ratio: float


def doubts(ladder: Ladder) -> Doubts:
    """Look for what is known to break extrapolation: too few sizes, guessing, falls, jumps, a reach too long."""
    n = len(ladder.levels) if len(ladder) else 0
    if n < 3:
        return Doubts((f"{n} compute level(s) measured: a law needs 3, a check of it 4",), True, float("nan"))
    reasons = []
    if n < LEAST_LEVELS:
        reasons.append("3 compute levels measured: no law can be checked on this ladder")
    error = _noise(ladder)
    fall, at = _deepest_fall(ladder)
    is_monotone = fall <= max(FALL_POINTS, 3 * error)
    if not is_monotone:
        reasons.append(
            f"not monotone: the score falls by {fall:.1f} points up to {ladder.flops[at]:.3g} FLOPs, beyond its noise"
        )
    above = ladder.scores - ladder.chance
    if (above <= max(2 * error, 2.0)).all():
        reasons.append("no model is above chance: where the rise begins cannot be told")
    elif _is_jump(ladder):
        reasons.append("the rise rests on the last one or two sizes: its pace cannot be told")
    if np.log(ladder.target_flops / ladder.flops[-1]) > MAX_REACH * np.log(ladder.flops[-1] / ladder.flops[0]):
        reasons.append("the target lies farther above the ladder than three times the ladder's span")
    return Doubts(tuple(reasons), bool(is_monotone), _predictable_ratio(ladder))


def _predictable_ratio(ladder: Ladder) -> float:
    """Share of the items in clusters whose law scales; NaN without items of every model."""
    rates = ladder.pass_rates
    if rates is None or not np.isfinite(rates).all():
        return float("nan")
    unit = UNIT_FLOPS if ladder.flops[0] >= UNIT_FLOPS else unit_of_ladder(ladder.flops)
    return forecast_cod(rates, ladder.flops, ladder.target_flops, unit_flops=unit).predictable_ratio


def _noise(ladder: Ladder) -> float:
    known = ladder.errors[np.isfinite(ladder.errors)]
    items = 1000.0 if np.isnan(ladder.n_items) else ladder.n_items
    middle = float(np.clip(ladder.scores.mean() / 100, 0.02, 0.98))
    sampling = float(np.median(known)) if known.size else 100 * np.sqrt(middle * (1 - middle) / items)
    return float(np.hypot(sampling, ladder.checkpoint_error if np.isfinite(ladder.checkpoint_error) else 0.0))


def _deepest_fall(ladder: Ladder) -> tuple[float, int]:
    """Largest drop below the best score of clearly less compute, and where."""
    best, fall, at = -np.inf, 0.0, 0
    for level in ladder.levels:
        rows = np.abs(np.log(ladder.flops / level)) <= 0.02
        score = float(ladder.scores[rows].mean())
        if best - score > fall:
            fall, at = best - score, int(np.flatnonzero(rows)[0])
        best = max(best, score)
    return fall, at


def _is_jump(ladder: Ladder) -> bool:
    """Whether one step of the ladder makes most of the whole rise, from near chance."""
    means = np.array([
        ladder.shares[np.abs(np.log(ladder.flops / level)) <= 0.02].mean() for level in ladder.levels
    ])  # fmt: skip
    steps = np.diff(means)
    return bool(steps.max() > JUMP_SHARE or (steps.max() > 0.1 and steps.max() > 0.8 * (means.max() - means.min())))
