"""The total of a finite population from a sample drawn by a known design, whatever a forecast of it is worth.

Difference and regression estimators (Horvitz & Thompson 1952; Särndal, Swensson & Wretman 1992, chapters 3 and 6); with
the slope fitted on the sample they are what is now called prediction-powered inference (Angelopoulos, Duchi & Zrnic
2023, PPI++). Outputs of language models are skewed and samples small, so that plain t intervals are too short: the
constants `UPPER`, `LOWER` and `RATIO` are learnt on public populations (``docs/studies/pilot.md``).
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ...arrays import Codes, Floats
from ...errors import InsufficientReplicatesError, InvalidInputError
from .clusters import t_quantile

EVEN_SHARE = 0.5
"""Part of the size of a unit that does not depend on its forecast: no weight is more than twice the average one."""
UPPER, LOWER = 1.75, 0.83
"""Multipliers of Student's quantile above and below the total: lengths are skewed, so that the upper end is farther."""
DECIDED = 0.975
"""Probability of an order from which on it counts as decided: of two equal models one in twenty pilots errs."""
RATIO = 1.25
"""The same for the ratio of two totals."""
PUBLIC_SPREADS = {"even": 0.33, "usual": 0.57, "uneven": 0.98}
"""Spread of a unit about its forecast over the mean: 10, 50 and 90 % quantiles of kinds of public work."""
MIN_DRAWS = 3
MAX_EXPONENT = 50.0
"""e^50: an end that far off says that nothing is known."""


def sampling_sizes(forecast: ArrayLike) -> Floats:
    """Sizes for `inclusion_probabilities`: `EVEN_SHARE` alike, the rest in proportion to the forecast; mean 1.

    The forecast of shape (n_units,) is not negative; its level does not matter, and units without one (NaN) count as
    average ones.
    """
    values = np.asarray(forecast, dtype=np.float64)
    average = float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
    if average <= 0:
        return np.ones(len(values))
    return EVEN_SHARE + (1 - EVEN_SHARE) * np.where(np.isnan(values), average, values) / average


def inclusion_probabilities(sizes: ArrayLike, n: int) -> Floats:
    """Probabilities of being drawn in proportion to `sizes` (n_units,), summing to `n`; what would exceed 1 is certain.

    Raises InvalidInputError if a size is not positive or `n` is not in 1 .. n_units.

    >>> inclusion_probabilities([1.0, 1.0, 8.0], 2).tolist()
    [0.5, 0.5, 1.0]
    """
    left = np.asarray(sizes, dtype=np.float64)
    if not 1 <= n <= len(left) or not (left > 0).all():
        raise InvalidInputError(f"`n` must be 1 to {len(left)} and every size positive, got n={n}")
    certain = np.zeros(len(left), dtype=bool)
    while True:
        rest = n - certain.sum()
        share = rest * left / left[~certain].sum() if not certain.all() else left
        new = ~certain & (share >= 1 - 1e-12)
        if not new.any():
            return np.where(certain, 1.0, share)
        certain |= new


def draw_systematic(probabilities: ArrayLike, order: ArrayLike, rng: np.random.Generator) -> Codes:
    """Positions, ascending, of units drawn with the given probabilities, evenly along an order (Madow 1949).

    `probabilities` of shape (n_units,) are in (0, 1] and have a whole sum. Units near each other in the `order` of the
    same shape are seldom drawn together; ties are broken at random.
    """
    drawn = np.asarray(probabilities, dtype=np.float64)
    places = np.lexsort((rng.random(len(drawn)), np.asarray(order)))
    # Rounded, so that a sum of floats that misses a whole number by a hair draws no unit more or less.
    reached = np.round(np.concatenate([[0.0], np.cumsum(drawn[places])]), 9) - rng.uniform(1e-6, 1 - 1e-6)
    hits = np.diff(np.floor(reached))
    return np.sort(places[hits > 0])


@dataclass(frozen=True)
class SurveyEstimate:
    """An estimated total in the unit of the values; its standard error has the finite-population correction in it.

    `degrees` are those of freedom of the error, `slope` is what the total rests on the forecast with (0: the plain
    expansion), and `influence` of shape (n_drawn,) what each draw adds to the error: squares sum to
    ``standard_error ** 2``, 0 for certain units.
    """

    total: float
    standard_error: float
    degrees: float
    slope: float
    influence: Floats

    @property
    def largest_share(self) -> float:
        """Share of the variance that one draw carries, in [0, 1]; NaN where there is no variance."""
        variance = self.standard_error**2
        return float(np.max(self.influence**2) / variance) if variance > 0 else float("nan")

    def quantile(self, level: float) -> float:
        """The total is below this with probability `level`; on a logarithmic scale, so never negative."""
        if self.total <= 0 or self.standard_error == 0:
            return self.total
        deviation = t_quantile(level, self.degrees) * (UPPER if level > 0.5 else LOWER)
        exponent = deviation * self.standard_error / self.total
        return self.total * float(np.exp(np.clip(exponent, -MAX_EXPONENT, MAX_EXPONENT)))

    def interval(self, coverage: float = 0.9) -> tuple[float, float]:
        """The ends between which the total lies with probability `coverage`, in (0, 1)."""
        return self.quantile((1 - coverage) / 2), self.quantile((1 + coverage) / 2)

    def probability_above(self, limit: float) -> float:
        """Probability that the total is above `limit`: where `quantile` crosses it."""
        if self.total <= 0 or self.standard_error == 0 or limit <= 0:
            return float(self.total > limit)
        deviation = float(np.log(limit / self.total)) * self.total / self.standard_error
        return float(special.stdtr(self.degrees, -deviation / (UPPER if deviation > 0 else LOWER)))


def estimate_total(
    values: ArrayLike,
    probabilities: ArrayLike,
    n_units: int,
    *,
    forecast: ArrayLike | None = None,
    forecast_total: float = 0.0,
) -> SurveyEstimate:
    """Estimate a total by regression on a forecast, with weights of the design.

    Certain units count as they are. The others give their weighted mean and a slope, shrunk so that a useless forecast
    gets none (James & Stein); every residual is divided by one minus its leverage, which pays for the fitted slope.

    Of each draw, shape (n_drawn,), what was observed, with what probability, in (0, 1], it was drawn from `n_units`,
    and its forecast, of any level, whose sum over all units is `forecast_total`; without one the plain expansion.
    Raises InvalidInputError if shapes disagree or a probability is out of range, InsufficientReplicatesError if fewer
    than `MIN_DRAWS` draws are not certain while other units are not drawn.
    """
    y, p = np.asarray(values, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    m = np.zeros(len(y)) if forecast is None else np.asarray(forecast, dtype=np.float64)
    if not len(y) == len(p) == len(m) or not ((p > 0) & (p <= 1)).all():
        raise InvalidInputError("values, probabilities in (0, 1] and forecast must be of one length")
    certain = p >= 1 - 1e-9
    rest, n, units = ~certain, int((~certain).sum()), n_units - int(certain.sum())
    known, influence = float(y[certain].sum()), np.zeros(len(y))
    if units == 0:
        return SurveyEstimate(known, 0.0, np.inf, 0.0, influence)
    if n < MIN_DRAWS:
        raise InsufficientReplicatesError(f"a total needs at least {MIN_DRAWS} draws that are not certain, got {n}")
    left = forecast_total - float(m[certain].sum())
    total, slope, used, residuals = _regression(y[rest], m[rest], 1 / p[rest], units, left)
    if known + total <= 0 and (y >= 0).all():  # a slope that leads below nothing is worth nothing
        total, slope, used, residuals = _regression(y[rest], 0 * m[rest], 1 / p[rest], units, 0.0)
    influence[rest] = residuals * np.sqrt((1 - p[rest]) * (n - 1) / n)
    error = float(np.sqrt(np.sum(influence**2)))
    return SurveyEstimate(known + total, error, max(n - 1 - used, 1.0), slope, influence)


def _regression(
    y: Floats, m: Floats, weights: Floats, n_units: int, forecast_total: float
) -> tuple[float, float, float, Floats]:
    """Total, slope, the share of a parameter that the slope used, and each residual's part of the total."""
    whole = weights.sum()
    y_mean, m_mean = float(weights @ y / whole), float(weights @ m / whole)
    dy, dm = y - y_mean, m - m_mean
    smm, smy, syy = (float(np.sum(weights * one * other)) for one, other in ((dm, dm), (dm, dy), (dy, dy)))
    used = 0.0
    if smm > 1e-12 * float(weights @ m**2) and smy > 0 and syy > 0:
        r2 = min(smy**2 / (smm * syy), 1 - 1e-12)
        used = max(1 - (1 - r2) / (r2 * max(len(y) - 2, 1)), 0.0)
    slope = used * smy / smm if used else 0.0
    leverage = weights / whole + (used * weights * dm**2 / smm if used else 0.0)
    total = n_units * y_mean + slope * (forecast_total - n_units * m_mean)
    return total, slope, used, (dy - slope * dm) * weights * n_units / whole / np.maximum(1 - leverage, 0.1)


@dataclass(frozen=True)
class LogRatio:
    """The ratio of two totals of one sample, such as two models' bills, or dollars and passes.

    `value` is its logarithm; correlation between the totals is in the standard error.
    """

    value: float
    standard_error: float
    degrees: float

    def interval(self, coverage: float = 0.9) -> tuple[float, float]:
        """Ends of the ratio itself."""
        reach = RATIO * t_quantile((1 + coverage) / 2, self.degrees) * self.standard_error
        ends = np.exp(np.clip([self.value - reach, self.value + reach], -MAX_EXPONENT, MAX_EXPONENT))
        return float(ends[0]), float(ends[1])

    @property
    def probability_first_less(self) -> float:
        """Probability that the first total is the smaller one."""
        if self.standard_error == 0:
            return 0.5 if self.value == 0 else float(self.value < 0)
        return float(special.stdtr(self.degrees, -self.value / (RATIO * self.standard_error)))

    def draws_to_decide(self, n: int, n_units: int) -> int:
        """Draws with which a ratio as large as this one would be decided at `DECIDED`; 0 where all units would not."""
        if self.value == 0:
            return 0
        # The error falls as (1/n - 1/n_units) does.
        wanted = (self.value / (RATIO * t_quantile(DECIDED, self.degrees))) ** 2
        if self.standard_error**2 == 0 or n >= n_units:
            return min(n, n_units)
        per_draw = self.standard_error**2 / (1 / n - 1 / n_units)
        return min(int(np.ceil(1 / (wanted / per_draw + 1 / n_units))), n_units)


def log_ratio(first: SurveyEstimate, second: SurveyEstimate) -> LogRatio:
    """The ratio of two totals that were estimated from the same draws in the same order (linearisation).

    Raises InvalidInputError if a total is not positive or the draws differ in number.
    """
    if first.total <= 0 or second.total <= 0 or len(first.influence) != len(second.influence):
        raise InvalidInputError("a ratio needs two positive totals of the same draws")
    parts = first.influence / first.total - second.influence / second.total
    error = float(np.sqrt(np.sum(parts**2)))
    degrees = min(first.degrees, second.degrees)
    if error > 0:  # few draws that carry the error know it badly: 2 / (kurtosis - 1) per draw, as a variance's own
        kurtosis = np.count_nonzero(parts) * float(np.sum(parts**4)) / error**4
        degrees = min(degrees, max(2 * np.count_nonzero(parts) / max(kurtosis - 1, 1e-9), 2.0))
    return LogRatio(float(np.log(first.total / second.total)), error, degrees)


def expected_half_width(spread: float, n: int, n_units: int, coverage: float = 0.9) -> float:
    """Half the width of an interval, over the total, that `n` draws of `n_units` are to have.

    `spread` is the standard deviation of a unit about its forecast over the mean: from the forecast before anything
    ran, from `spread_of` after.
    """
    if n >= n_units:
        return 0.0
    error = spread * float(np.sqrt((1 - n / n_units) / n))
    draft = SurveyEstimate(1.0, error, max(n - 2, 1), 0.0, np.zeros(0))
    lower, upper = draft.interval(coverage)
    return (upper - lower) / 2


def spread_of(estimate: SurveyEstimate, n: int, n_units: int) -> float:
    """The spread of a unit that an estimate from `n` draws showed, for `expected_half_width`."""
    free = 1 - min(n / n_units, 1 - 1e-9)
    return estimate.standard_error / abs(estimate.total) * float(np.sqrt(n / free))


def planned_draws(spread: float, wanted: float, n_units: int, coverage: float = 0.9) -> int:
    """The fewest draws with which half the width over the total is to be at most `wanted`.

    Planned once, from the forecast or from the first draws, and then kept: whoever looks after every draw and stops
    when the interval happens to be narrow gets intervals that are too short.
    """
    draws = range(MIN_DRAWS, n_units)
    place = bisect_left(draws, True, key=lambda n: expected_half_width(spread, n, n_units, coverage) <= wanted)
    return MIN_DRAWS + place
