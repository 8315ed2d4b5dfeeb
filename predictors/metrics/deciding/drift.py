"""Drift: has the forecast got worse, or has the noise itself moved?

Both monitors look at a nightly sample with two runs per query. The excess error ``(y1 - f)(y2 - f)``
has the same expectation whatever the noise, so its rise means a worse forecast; it is standardised by
the night's own standard error. The floor is watched apart: where only the noise moved, intervals need
calibrating again and no retraining helps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import Floats
from ...errors import InvalidInputError

Verdict = Literal["ok", "forecast drifted", "noise moved", "ambiguous"]


@dataclass(frozen=True)
class Night:
    """Means of one night over queries with their standard errors.

    `excess` is squared error above the noise, for single runs the raw one; `floor` the variance between runs, NaN then.
    """

    excess: float
    excess_error: float
    floor: float
    floor_error: float
    n_queries: int
    has_repeats: bool


def night_statistics(outcomes: ArrayLike, forecast: ArrayLike) -> Night:
    """Excess and floor of one night's sample.

    `outcomes` of shape (n_queries, n_runs) are on the scale of the loss (log tokens), every query with the same number
    of runs; `forecast` of shape (n_queries,) is the forecast mean of each. Raises InvalidInputError if fewer than 2
    queries are there, shapes disagree or numbers are not finite.
    """
    y, f = np.atleast_2d(np.asarray(outcomes, dtype=np.float64)), np.asarray(forecast, dtype=np.float64)
    if y.ndim != 2 or f.shape != (len(y),) or len(y) < 2:
        raise InvalidInputError(f"`outcomes` (n_queries >= 2, n_runs) and `forecast` disagree: {y.shape}, {f.shape}")
    if not (np.isfinite(y).all() and np.isfinite(f).all()):
        raise InvalidInputError("`outcomes` and `forecast` must be finite")
    n, r = y.shape

    def mean(per_query: Floats) -> tuple[float, float]:
        return float(per_query.mean()), float(per_query.std(ddof=1) / np.sqrt(n))

    if r == 1:
        return Night(*mean((y[:, 0] - f) ** 2), float("nan"), float("nan"), n, False)
    variance = y.var(axis=1, ddof=1)
    return Night(*mean((y.mean(axis=1) - f) ** 2 - variance / r), *mean(variance), n, True)


@dataclass
class CusumMonitor:
    """One-sided or two-sided CUSUM on a nightly mean, against a base from the first nights.

    `slack` standard errors of drift are tolerated (Page's k), the alarm goes off at a sum of `limit`, and `base_nights`
    nights after a reset set the base. Where it is `two_sided` a fall alarms as well.
    """

    slack: float = 0.5
    limit: float = 5.0
    base_nights: int = 10
    two_sided: bool = False
    base: list[tuple[float, float]] = field(default_factory=list)
    up: float = 0.0
    down: float = 0.0

    def update(self, mean: float, standard_error: float) -> bool:
        """Add a night; True where the alarm goes off (then call `reset`).

        The night's departure is divided by its own standard error and that of the base together.
        """
        if not (np.isfinite(mean) and np.isfinite(standard_error)):
            raise InvalidInputError("`mean` and `standard_error` must be finite")
        if len(self.base) < self.base_nights:
            self.base.append((mean, standard_error))
            return False
        means, errors = np.array(self.base).T
        spread = float(np.sqrt(standard_error**2 + np.mean(errors**2) / len(errors)))
        departure = mean - float(means.mean())
        z = departure / spread if spread > 0 else float(np.sign(departure)) * 2 * self.limit
        self.up = max(0.0, self.up + z - self.slack)
        self.down = max(0.0, self.down - z - self.slack)
        return self.up > self.limit or (self.two_sided and self.down > self.limit)

    def reset(self) -> None:
        """Start anew, after a refit or a recalibration."""
        self.base, self.up, self.down = [], 0.0, 0.0


@dataclass
class DriftMonitor:
    """Two CUSUMs: on the excess (a worse forecast) and on the floor (noise moved).

    Without repeats the error holds both, and an alarm is ``ambiguous``.
    """

    excess: CusumMonitor = field(default_factory=CusumMonitor)
    floor: CusumMonitor = field(default_factory=lambda: CusumMonitor(two_sided=True))

    def update(self, night: Night) -> Verdict:
        """Judge a night.

        ``forecast drifted`` and ``ambiguous`` ask for a refit (and reset both monitors), ``noise moved`` for a new
        calibration (and resets the floor's).
        """
        worse = self.excess.update(night.excess, night.excess_error)
        moved = night.has_repeats and self.floor.update(night.floor, night.floor_error)
        if worse:
            self.excess.reset()
            self.floor.reset()
            return "forecast drifted" if night.has_repeats else "ambiguous"
        if moved:
            self.floor.reset()
            return "noise moved"
        return "ok"
