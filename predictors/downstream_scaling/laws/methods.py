"""Every way from a ladder to a score under one interface, run over ladders of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...fitting.least_squares import Floats
from ..items.cod import report_cod
from ..ladder import Ladder, compute_levels
from .direct import DIRECT, Method, batch_of
from .size_and_data import exponential_nd

METHODS: Mapping[str, Method] = {**DIRECT, "exponential_nd": exponential_nd}
"""Laws by name: a batch of ladders -> share of the way from chance to the upper bound, NaN where not applicable."""
COD = "cod"
"""Name of clustering on difficulty, which answers ladders whose items are known."""
LEAST_LEVELS = 2
"""Compute levels below the held-out model of a backtest."""
CANDIDATES = ("isotonic_last", "logit_line", "log_log_line", "exponential", "exponential_nd", COD)
"""What a forecast is the mean of: what earned its place on families of models that were left out, and COD."""


def forecast_shares(ladders: Sequence[Ladder], names: Sequence[str]) -> Floats:
    """Forecast of every method for every ladder.

    Returns
    -------
    ndarray of shape (n_ladders, n_methods)
        Shares, NaN where a method does not apply. A ladder's row does not depend on the other ladders.
    """
    out = np.full((len(ladders), len(names)), np.nan)
    lengths = np.array([len(ladder) for ladder in ladders], dtype=int)
    # Filling up changes no number, so a few sizes of batch serve all ladders.
    sizes = 8 * 2 ** np.ceil(np.log2(np.maximum(lengths, 8) / 8)).astype(int)
    for size in np.unique(sizes[lengths > 0]).tolist():
        at = np.flatnonzero((sizes == size) & (lengths > 0))
        chosen = [ladders[i] for i in at.tolist()]
        batch = batch_of(chosen if len(chosen) > 1 else chosen * 2, size)
        for column, name in enumerate(names):
            out[at, column] = _cod(chosen) if name == COD else METHODS[name](batch)[: len(at)]
    return out


def _cod(ladders: Sequence[Ladder]) -> Floats:
    out = np.full(len(ladders), np.nan)
    for i, ladder in enumerate(ladders):
        report = report_cod(ladder)
        if report is not None and not report.abstains:
            out[i] = ladder.share(np.array(100.0 * report.score))
    return out


def match_reach(ladder: Ladder, n_cuts: int) -> list[tuple[Ladder, float]]:
    """Backtests inside a ladder: what a part of it is to forecast, and the share that was measured there.

    The `n_cuts` parts are those whose target lies as far above them as the real target lies above the whole ladder,
    as nearly as the ladder allows; each keeps `LEAST_LEVELS` compute levels or more, and
    nothing of the target's own run.
    """
    wanted = np.log(ladder.target_flops / ladder.flops[-1])
    top = np.log(ladder.flops[-1])
    runs = np.array(ladder.runs)
    choices = []
    for target in range(len(ladder)):
        other = (ladder.flops < ladder.flops[target] / 1.02) & ((runs != runs[target]) | (runs == ""))
        levels = compute_levels(ladder.flops[other])
        for count in range(LEAST_LEVELS, len(levels) + 1):
            gap = np.log(ladder.flops[target] / levels[count - 1])
            # The farther below the top, the less a backtest says of it.
            cost = abs(gap - wanted) + 0.5 * (top - np.log(ladder.flops[target])) - 0.05 * count
            choices.append((float(cost), float(levels[count - 1]), target))
    backtests = []
    for _, largest, target in sorted(choices)[:n_cuts]:
        keep = (ladder.flops <= largest * 1.001) & ((runs != runs[target]) | (runs == ""))
        backtests.append((ladder.below(keep, target), float(ladder.shares[target])))
    return backtests
