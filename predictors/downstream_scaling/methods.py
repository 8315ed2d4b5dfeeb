"""Every way from a ladder to a score under one interface, run over ladders of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from predictors.downstream_scaling.direct import DIRECT, Method, batch_of
from predictors.downstream_scaling.ladder import Ladder
from predictors.downstream_scaling.least_squares import Floats
from predictors.downstream_scaling.two_step import TWO_STEP

__all__ = ["CANDIDATES", "METHODS", "forecast_shares", "match_reach"]

METHODS: Mapping[str, Method] = {**DIRECT, **TWO_STEP}
"""Methods by name: a batch of ladders -> share of the way from chance to the upper bound, NaN where not applicable."""

CANDIDATES = (
    "isotonic_last", "logit_weighted", "exponential", "power", "bnsl", "exponential_nd", "two_step_nd",
)  # fmt: skip
"""What the forecaster chooses from: left by backtests on smaller models (docs/downstream_scaling.md)."""

LEAST_MODELS = 3


def forecast_shares(ladders: Sequence[Ladder], names: Sequence[str]) -> Floats:
    """Forecast of every method for every ladder.

    Returns
    -------
    ndarray of shape (n_ladders, n_methods)
        Shares, NaN where a method does not apply or the ladder has fewer than `LEAST_MODELS` models. A ladder's row
        does not depend on the other ladders.
    """
    out = np.full((len(ladders), len(names)), np.nan)
    lengths = np.array([len(ladder) for ladder in ladders], dtype=int)
    # Filling up changes no number, so a few sizes of batch serve all ladders.
    sizes = 8 * 2 ** np.ceil(np.log2(np.maximum(lengths, 8) / 8)).astype(int)
    for size in np.unique(sizes[lengths >= LEAST_MODELS]).tolist():
        at = np.flatnonzero((sizes == size) & (lengths >= LEAST_MODELS))
        chosen = [ladders[i] for i in at.tolist()]
        batch = batch_of(chosen if len(chosen) > 1 else chosen * 2, size)
        for column, name in enumerate(names):
            out[at, column] = METHODS[name](batch)[: len(at)]
    return out


def match_reach(ladder: Ladder, n_cuts: int) -> list[tuple[Ladder, float]]:
    """Backtests inside a ladder: what a part of it is to forecast, and the share that was measured there.

    The `n_cuts` parts are those whose target lies as far above them as the real target lies above the whole ladder,
    as nearly as the ladder allows; each keeps three compute levels or more, and nothing of the target's own run.
    """
    wanted = np.log(ladder.target_flops / ladder.flops[-1])
    top = np.log(ladder.flops[-1])
    runs = np.array(ladder.runs)
    choices = []
    for target in range(len(ladder)):
        other = (ladder.flops < ladder.flops[target] / 1.02) & ((runs != runs[target]) | (runs == ""))
        levels = _levels(ladder.flops[other])
        for count in range(3, len(levels) + 1):
            gap = np.log(ladder.flops[target] / levels[count - 1])
            # The farther below the top, the less a backtest says of it.
            cost = abs(gap - wanted) + 0.5 * (top - np.log(ladder.flops[target])) - 0.05 * count
            choices.append((float(cost), float(levels[count - 1]), target))
    found = []
    for _, largest, target in sorted(choices)[:n_cuts]:
        keep = (ladder.flops <= largest * 1.001) & ((runs != runs[target]) | (runs == ""))
        found.append((ladder.below(keep, target), float(ladder.shares[target])))
    return found


def _levels(flops: Floats) -> Floats:
    """Different amounts of compute, ascending."""
    return flops[np.r_[True, np.diff(np.log(flops)) > 0.02]] if len(flops) else flops
