"""When a forecast should not be relied upon: its expected error, and what of the ladder makes it large, in words."""

import numpy as np

from .ladder import Ladder

MOST_ERROR = 10.0
"""Expected absolute error, in points, from which a forecast is not to be relied upon."""
LEAST_LEVELS = 4
FALL_POINTS = 5.0
JUMP_SHARE = 0.35
MAX_REACH = 3.0


def doubts(ladder: Ladder) -> list[str]:
    """What is known to break extrapolation: too few sizes, guessing, falls, jumps, a reach too long; may be empty."""
    n = len(ladder.levels) if len(ladder) else 0
    if n < 2:
        return [f"{n} compute level(s) measured: the pace is that of other models' ladders"]
    reasons = []
    if n < LEAST_LEVELS:
        reasons.append(f"{n} compute levels measured: no law can be checked on this ladder")
    error = _noise(ladder)
    fall, at = deepest_fall(ladder)
    if not is_monotone(ladder):
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
    return reasons


def is_monotone(ladder: Ladder) -> bool:
    """Whether no score falls, by more than noise and `FALL_POINTS`, below that of a model that is less in all."""
    return not len(ladder) or deepest_fall(ladder)[0] <= max(FALL_POINTS, 3 * _noise(ladder))


def _noise(ladder: Ladder) -> float:
    measured = ladder.errors[np.isfinite(ladder.errors)]
    items = 1000.0 if np.isnan(ladder.n_items) else ladder.n_items
    middle = float(np.clip(ladder.scores.mean() / 100, 0.02, 0.98))
    sampling = float(np.median(measured)) if measured.size else 100 * np.sqrt(middle * (1 - middle) / items)
    return float(np.hypot(sampling, ladder.checkpoint_error if np.isfinite(ladder.checkpoint_error) else 0.0))


def deepest_fall(ladder: Ladder) -> tuple[float, int]:
    """Largest drop, in points, below a model of clearly less compute and no more size or data, and where.

    A model that had more compute but less data, or a smaller one trained for longer, is no fall.
    """
    is_less = np.log(ladder.flops[:, None] / ladder.flops[None, :]) < -0.02
    for column in (ladder.params, ladder.tokens):
        with np.errstate(invalid="ignore"):
            is_less &= ~(np.log(column[:, None] / column[None, :]) > 0.02)
    falls = np.where(is_less, ladder.scores[:, None] - ladder.scores[None, :], 0.0)
    at = int(falls.max(axis=0).argmax())
    return max(0.0, float(falls.max())), at


def _is_jump(ladder: Ladder) -> bool:
    """Whether one step of the ladder makes most of the whole rise, from near chance."""
    means = np.array([
        ladder.shares[np.abs(np.log(ladder.flops / level)) <= 0.02].mean() for level in ladder.levels
    ])  # fmt: skip
    steps = np.diff(means)
    rise = means.max() - means.min()
    return bool(len(steps) > 2 and (steps.max() > JUMP_SHARE or (steps.max() > 0.1 and steps.max() > 0.8 * rise)))
