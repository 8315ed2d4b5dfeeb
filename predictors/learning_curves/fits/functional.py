"""The functional strategy for learning curves: one power law per growing prefix, and a rule for when to stop.

At every level i a *trend* ``c - a x^-b`` is fitted to the first i observations; the sequence of trends is the *trace*.
Early trends are erratic. The *working level* is the first one from which asymptotes settle, the *prediction level* the
first from there on at which the asymptote is one that the metric can reach. From the prediction level on, the distance
between consecutive trends bounds what is still to come: the run may stop once it stays under a *proximity* threshold.

References
----------
Vilares Ferro, Darriba Bilbao & Ribadas Pena (2017), Modeling of learning curves with applications to POS tagging,
Computer Speech & Language 41 (arXiv 2402.02515). The words follow the paper's summary; thresholds are ours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...arrays import Floats, Mask
from ..curves import read_curves
from .parametric import FAMILIES, MISFIT, fit_family

FIRST_LEVEL = 3
"""A power law has three parameters."""
PRIOR_WIDTH = 4.0
"""The trends are all but least-squares fits: the weak prior is made this much weaker."""
VERTICALITY = 0.02
"""Movement of the asymptote from one level to the next, as a share of the range, under which it has settled."""
LOOK_AHEAD = 3
"""Levels in a row for which a condition must hold."""


@dataclass(frozen=True)
class LearningTrace:
    """Trends of one curve, one per level.

    Attributes
    ----------
    steps : ndarray of shape (n_levels,)
        Budget at which each level was reached (levels start at three observations).
    asymptotes, forecasts : ndarrays of shape (n_levels,)
        Each trend's value at an unlimited and at the asked budget, in the metric's unit.
    working_level, prediction_level, stop_level : int or None
        Positions in these arrays; None where the level was not reached.
    """

    steps: Floats
    asymptotes: Floats
    forecasts: Floats
    working_level: int | None
    prediction_level: int | None
    stop_level: int | None

    @property
    def stop_step(self) -> float | None:
        """Budget at which the run may stop; None where it may not yet."""
        return None if self.stop_level is None else float(self.steps[self.stop_level])


def learning_trace(request: pd.DataFrame, *, proximity: float = 0.005) -> LearningTrace:
    """Trace of a curve and the levels at which it can be worked with, trusted and stopped.

    `request` is one row, valid under `CurveRequests`. `proximity` is the distance between consecutive trends, as a
    share of the metric's range, under which the run may stop; it must hold for `LOOK_AHEAD` levels in a row. A curve
    with less than three observations is never stopped.
    """
    whole = read_curves(request.drop(columns="standard_errors", errors="ignore"))
    n = int(whole.lengths[0])
    levels = np.arange(min(FIRST_LEVEL, n), n + 1)
    batch = whole.take(np.zeros(len(levels), dtype=np.intp)).shortened(levels)
    family = FAMILIES["pow3"]
    fit = fit_family(family, batch.log_x, batch.values, batch.weights(MISFIT),
                     prior=family.prior.weakened(PRIOR_WIDTH), n_iterations=60)  # fmt: skip
    asymptotes = family.asymptote(fit.params)
    # Largest distance of each trend from the one before, between its own budget and far beyond the target.
    start = batch.last_log_x[1:, None]
    x = start + np.linspace(0.0, 1.0, 64) * (np.maximum(batch.target[1:, None], start) + 5.0 - start)
    apart = np.abs(family(fit.params[1:], x)[0] - family(fit.params[:-1], x)[0]).max(axis=1)
    moved = np.abs(np.diff(asymptotes))
    working = _first_run(np.r_[False, moved <= VERTICALITY], LOOK_AHEAD, 0)
    # The unit scale ends at the best value there can be: an asymptote pressed against it is not one to trust.
    prediction = _first_run(asymptotes < 1.0 - 1e-3, 1, working)
    stop = _first_run(np.r_[False, np.maximum(apart, moved) <= proximity], LOOK_AHEAD, prediction)
    budget = np.exp(batch.last_log_x) * float(whole.first_step[0])
    at_target, _ = fit.predict(batch.target)
    return LearningTrace(
        budget, batch.scale.from_unit(asymptotes), batch.scale.from_unit(at_target), working, prediction, stop
    )


def _first_run(holds: Mask, length: int, start: int | None) -> int | None:
    """Position at which a condition has held `length` times in a row, from `start` on."""
    if start is None:
        return None
    count = 0
    for i in range(len(holds)):
        count = count + 1 if holds[i] and i >= start else 0
        if count >= length:
            return i
    return None
