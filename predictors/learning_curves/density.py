"""Forecast distributions on the unit scale: Student t, cut off at the ends of the range, with a learned scale."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy import special, stats

from ..arrays import Codes, Floats

LEAST_SCALE = 1e-4
EDGE = 0.5
PENALTY = 0.01
BETWEEN = 0.25
"""Standard deviations between folds by which the scale for a new one lies above their mean."""
TYPICAL, MOST_SKEW = -3.0, 2.0
"""Log scale about which the skew is linear, and how large it may be."""
MOST_ROWS = 3000
"""Rows that a handful of coefficients are fitted to; more change nothing that can be seen."""


@dataclass(frozen=True)
class TruncatedT:
    """Student t distributions within [0, 1], a `forecaster.UnitDistribution`: `location`, `scale`, degrees of freedom
    `df` and `skew` of shape (n,).

    Below the location the scale is ``scale exp(-skew)``, above it ``scale exp(skew)``. Each side is cut off at its end
    of the range and holds half of the mass, so that the location is the median whatever the scales. Locations are kept
    half of the smaller scale away from the ends.
    """

    location: Floats
    scale: Floats
    df: Floats
    skew: Floats

    @property
    def median(self) -> Floats:
        """The median, shape (n,)."""
        gap = np.minimum(EDGE * np.minimum(*self._scales), 0.5)
        return np.asarray(np.clip(self.location, gap, 1.0 - gap))

    @property
    def _scales(self) -> tuple[Floats, Floats]:
        return self.scale * np.exp(-self.skew), self.scale * np.exp(self.skew)

    def _masses(self) -> tuple[Floats, Floats]:
        """The mass of the whole t between the median and either end."""
        median, (below, above) = self.median, self._scales
        low = 0.5 - special.stdtr(self.df, -median / below)
        high = special.stdtr(self.df, (1.0 - median) / above) - 0.5
        return np.maximum(low, 1e-12), np.maximum(high, 1e-12)

    def standardised(self, unit: Floats) -> tuple[Floats, Floats]:
        """How many scales of its side `unit` (n,) lies above the median, and that scale."""
        beyond = unit - self.median
        scale = np.where(beyond < 0, *self._scales)
        return beyond / scale, scale

    def log_density(self, unit: Floats) -> Floats:
        """Natural log of the density at `unit` (n,); higher is better. Values outside [0, 1] count as the ends."""
        z, scale = self.standardised(np.clip(unit, 0.0, 1.0))
        mass = np.where(z < 0, *self._masses())
        return np.asarray(stats.t.logpdf(z, self.df) - np.log(scale) + np.log(0.5 / mass))

    def probability_below(self, unit: Floats) -> Floats:
        """Probability of an outcome at or under `unit` (n,)."""
        z = special.stdtr(self.df, self.standardised(np.clip(unit, 0.0, 1.0))[0]) - 0.5
        below = 0.5 + 0.5 * z / np.where(z < 0, *self._masses())
        return np.asarray(np.where(unit >= 1.0, 1.0, np.where(unit < 0.0, 0.0, np.clip(below, 0.0, 1.0))))

    def quantiles(self, levels: Floats) -> Floats:
        """Quantiles at `levels`, shape (n, n_levels)."""
        low, high, below, above = (a[:, None] for a in (*self._masses(), *self._scales))
        side = 2.0 * (np.asarray(levels, dtype=np.float64) - 0.5)
        p = np.clip(0.5 + np.where(side < 0, side * low, side * high), 1e-12, 1 - 1e-12)
        z = special.stdtrit(self.df[:, None], p)
        return np.asarray(np.clip(self.median[:, None] + np.where(z < 0, below, above) * z, 0.0, 1.0))

    def take(self, rows: Codes) -> Self:
        """The distributions of `rows`."""
        return type(self)(self.location[rows], self.scale[rows], self.df[rows], self.skew[rows])

    @classmethod
    def gather(cls, n: int, parts: "Iterable[tuple[Codes, TruncatedT]]") -> Self:
        """Distributions of n rows from those of some rows each."""
        whole = np.empty((4, n))
        for rows, part in parts:
            whole[:, rows] = part.location, part.scale, part.df, part.skew
        return cls(*whole)


@dataclass
class ScaleModel:
    """Log scale as a linear function of a few columns, fitted by maximum likelihood with the degrees of freedom.

    `skew` is empty, or holds the skew at a log scale of `TYPICAL` and how it grows with the log scale.
    """

    coefficients: Floats
    df: float
    skew: Floats

    @classmethod
    def fit(
        cls, columns: Floats, location: Floats, outcome: Floats, weight: Floats, *, is_skewed: bool = False
    ) -> Self:
        """Maximise the weighted log density of `outcome` (n,) given `columns` (n, p), the first of them constant.

        Where `is_skewed`, the two sides have scales of their own, as of the second column, a log scale.
        """
        from scipy.optimize import minimize

        p = columns.shape[1]
        step = max(1, len(outcome) // MOST_ROWS)
        columns, location, outcome, weight = (a[::step] for a in (columns, location, outcome, weight))
        share = weight / weight.sum()
        residual = np.abs(outcome - location)
        # Few rows cannot tell the columns apart; the scale then follows the first of them, the method's own spread.
        slopes = np.eye(p)[1] if p > 1 else np.zeros(p)
        start = np.r_[slopes, np.log(3.0), np.zeros(2 * is_skewed)]
        start[0] = np.log(np.average(residual, weights=weight) + 1e-3) - np.average(columns @ slopes, weights=weight)

        def loss(v: Floats) -> float:
            fitted = cls._of(v, p).at(columns, location).log_density(outcome)
            return float(-(share * fitted).sum() + PENALTY * ((v - start)[1:] ** 2).sum())

        optimum = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 200}).x
        return cls._of(optimum, p)

    @classmethod
    def _of(cls, parameters: Floats, p: int) -> Self:
        df = 1.5 + np.exp(np.clip(parameters[p], -4.0, 4.0))
        return cls(parameters[:p], float(df), parameters[p + 1 :])

    def at(self, columns: Floats, location: Floats) -> TruncatedT:
        """Distribution of each row of `columns` (n, p), about `location` (n,)."""
        log_scale = np.clip(columns @ self.coefficients, np.log(LEAST_SCALE), np.log(3.0))
        skew = np.zeros(len(location))
        if self.skew.size:
            skew = np.clip(self.skew[0] + self.skew[1] * (columns[:, 1] - TYPICAL), -MOST_SKEW, MOST_SKEW)
        return TruncatedT(location, np.exp(log_scale), np.full(len(location), self.df), skew)

    def widened(self, columns: Floats, location: Floats, outcome: Floats, folds: Codes) -> Self:
        """The same for a group that was not seen, of rows whose `folds` (n,) keep groups apart; the rest as of `fit`.

        Every fold tells by what factor the scale must grow for the 90 % interval to cover 90 % of it; what is new gets
        the mean of their logarithms and `BETWEEN` standard deviations more.
        """
        beyond = np.abs(self.at(columns, location).standardised(outcome)[0]) / special.stdtrit(self.df, 0.95)
        factors = np.log([np.quantile(beyond[folds == fold], 0.9) + 1e-3 for fold in np.unique(folds)])
        more = factors.mean() + BETWEEN * factors.std(ddof=1)
        return replace(self, coefficients=self.coefficients + np.eye(len(self.coefficients))[0] * more)

    def state(self) -> dict[str, Any]:
        """JSON state."""
        return {"coefficients": self.coefficients.tolist(), "df": self.df, "skew": self.skew.tolist()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild what `state` wrote."""
        coefficients, skew = (np.asarray(state[name], dtype=np.float64) for name in ("coefficients", "skew"))
        return cls(coefficients, float(state["df"]), skew)
