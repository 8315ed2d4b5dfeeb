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

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ...errors import InvalidInputError
from ...schemas.learning_curves import CurveRequests
from ..curves import read_curves
from .ensemble import MISFIT
from .parametric import FAMILIES, fit_family

Floats: TypeAlias = NDArray[np.float64]
FIRST_LEVEL = 3
"""A power law has three parameters."""
PRIOR_WIDTH = 4.0
"""The trends are all but least-squares fits: the weak prior is made this much weaker."""


@dataclass(frozen=True)
class LearningTrace:
    """Trends of one curve, one per level.

    Attributes
    ----------
    steps : ndarray of shape (n_levels,)
        Budget at which each level was reached (levels start at three observations).
    asymptotes, forecasts : ndarrays of shape (n_levels,)
        Each trend's value at an unlimited and at the asked budget, in the metric's unit.
    distances : ndarray of shape (n_levels,)
        Largest distance between a trend and the one before, from its own budget on; NaN at the first level.
    working_level, prediction_level, stop_level : int or None
        Positions in these arrays; None where the level was not reached.
    """

    steps: Floats
    asymptotes: Floats
    forecasts: Floats
    distances: Floats
    working_level: int | None
    prediction_level: int | None
    stop_level: int | None

    @property
    def stop_step(self) -> float | None:
        """Budget at which the run may stop; None where it may not yet."""
        return None if self.stop_level is None else float(self.steps[self.stop_level])


def learning_trace(
    steps: ArrayLike,
    values: ArrayLike,
    *,
    target_step: float,
    proximity: float = 0.005,
    verticality: float = 0.02,
    look_ahead: int = 3,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
    higher_is_better: bool = True,
) -> LearningTrace:
    """Trace of a curve and the levels at which it can be worked with, trusted and stopped.

    Parameters
    ----------
    steps, values : array-like of shape (n,)
        Observations in the order of the budget, at least three of them.
    target_step : float
        The budget that is asked about.
    proximity : float, optional
        Distance between consecutive trends, as a share of the metric's range, under which the run may stop; it must
        hold for `look_ahead` levels in a row.
    verticality : float, optional
        Movement of the asymptote from one level to the next, as a share of the range, under which it has settled.
    look_ahead : int, optional
        Levels in a row for which both conditions must hold.
    lower_bound, upper_bound, higher_is_better
        As in `CurveRequests`.

    Returns
    -------
    LearningTrace

    Raises
    ------
    InvalidInputError
        If there are fewer than three observations, or they are not valid under `CurveRequests`.
    """
    if not (proximity > 0 and verticality > 0 and look_ahead >= 1):
        raise InvalidInputError("`proximity` and `verticality` must be > 0 and `look_ahead` >= 1")
    row: dict[str, Sequence[object]] = {
        "steps": [np.asarray(steps, dtype=np.float64).tolist()],
        "values": [np.asarray(values, dtype=np.float64).tolist()],
        "target_step": [float(target_step)], "higher_is_better": [higher_is_better],
        "lower_bound": [np.nan if lower_bound is None else lower_bound],
        "upper_bound": [np.nan if upper_bound is None else upper_bound],
    }  # fmt: skip
    from pandera.errors import SchemaErrors

    try:
        request = CurveRequests.validate(pd.DataFrame(row), lazy=True)
    except SchemaErrors as error:
        raise InvalidInputError(f"`steps` and `values`: {error.failure_cases['check'].iloc[0]}") from None
    whole = read_curves(request)
    if np.isfinite(np.asarray(values, dtype=np.float64)).sum() < FIRST_LEVEL:
        raise InvalidInputError(f"a trend needs {FIRST_LEVEL} observations or more, got {np.size(steps)}")
    n = int(whole.lengths[0])
    levels = np.arange(min(FIRST_LEVEL, n), n + 1)
    batch = whole.take(np.zeros(len(levels), dtype=np.intp)).shortened(levels)
    family = FAMILIES["pow3"]
    fit = fit_family(family, batch.log_x, batch.values, batch.weights(MISFIT),
                     prior=family.prior.weakened(PRIOR_WIDTH), n_iterations=60)  # fmt: skip
    asymptotes = family.asymptote(fit.params)
    at_target, _ = fit.predict(batch.target)
    distances = _distances(fit.params, batch.last_log_x, float(batch.target[0]))
    settled = np.r_[False, np.abs(np.diff(asymptotes)) <= verticality]
    working = _first_run(settled, look_ahead, 0)
    # The unit scale ends at the best value there can be: an asymptote pressed against it is not one to trust.
    prediction = _first_run(asymptotes < 1.0 - 1e-3, 1, working)
    stop = _first_run(np.nan_to_num(distances, nan=np.inf) <= proximity, look_ahead, prediction)
    budget = np.exp(batch.last_log_x) * float(whole.first_step[0])
    return LearningTrace(
        budget, batch.scale.from_unit(asymptotes), batch.scale.from_unit(at_target), distances * batch.scale.span,
        working, prediction, stop,
    )  # fmt: skip


def _distances(params: Floats, start: Floats, target: float) -> Floats:
    """Largest distance of each trend from the one before, between its own budget and far beyond the target."""
    family = FAMILIES["pow3"]
    grid = np.linspace(0.0, 1.0, 64)
    out = np.full(len(params), np.nan)
    for i in range(1, len(params)):
        x = (start[i] + grid * (max(target, start[i]) + 5.0 - start[i]))[None, :]
        pair = [family(params[j : j + 1], x)[0] for j in (i - 1, i)]
        ends = [family.asymptote(params[j : j + 1])[0] for j in (i - 1, i)]
        out[i] = max(float(np.abs(pair[0] - pair[1]).max()), abs(float(ends[0] - ends[1])))
    return out


def _first_run(holds: NDArray[np.bool_], length: int, start: int | None) -> int | None:
    """Position at which a condition has held `length` times in a row, from `start` on."""
    if start is None:
        return None
    count = 0
    for i in range(len(holds)):
        count = count + 1 if holds[i] and i >= start else 0
        if count >= length:
            return i
    return None
