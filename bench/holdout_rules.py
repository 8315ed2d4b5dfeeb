"""Rules that reuse one holdout, which the promotion study compares with `metrics.deciding.promotion`.

Ladder limits how often the best value may move, Thresholdout protects the number that is reported.
Neither protects the promotion decision well over a year of nights (docs/studies/promotion.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from foretell.predictors.errors import InvalidInputError

__all__ = ["Ladder", "Thresholdout"]


@dataclass(frozen=True)
class Ladder:
    """Promote only where the holdout loss falls by more than a step.

    Attributes
    ----------
    step : float or None
        Least fall of the mean loss; None is the parameter-free rule, one standard error of the paired
        difference (times `n_standard_errors`).
    n_standard_errors : float
        Standard errors of the parameter-free step.

    References
    ----------
    Blum & Hardt (2015), The Ladder: a reliable leaderboard for machine learning competitions.
    """

    step: float | None = None
    n_standard_errors: float = 1.0

    def promotes(self, differences: ArrayLike) -> bool:
        """Whether a challenger replaces the best so far.

        Parameters
        ----------
        differences : array-like of shape (n_queries,)
            Loss of the challenger minus loss of the best so far on the holdout.
        """
        d = np.asarray(differences, dtype=np.float64)
        if d.size < 2 or not np.isfinite(d).all():
            raise InvalidInputError(f"`differences` must be at least 2 finite numbers, got {d.size}")
        error = float(d.std(ddof=1) / np.sqrt(d.size))
        needed = self.n_standard_errors * error if self.step is None else self.step
        return bool(-d.mean() > needed)


@dataclass
class Thresholdout:
    """Answer from the development value unless it disagrees with the holdout by more than a noisy threshold.

    Attributes
    ----------
    threshold : float
        Disagreement that is tolerated, in the unit of the loss.
    noise_scale : float
        Scale of the Laplace noise.
    budget : int
        Holdout answers that may be given; then the development value is all there is.
    random_state : int
        Seed, really used.

    References
    ----------
    Dwork, Feldman, Hardt, Pitassi, Reingold & Roth (2015), The reusable holdout.
    """

    threshold: float = 0.04
    noise_scale: float = 0.01
    budget: int = 365
    random_state: int = 0
    n_holdout_answers: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.threshold <= 0 or self.noise_scale <= 0:
            raise InvalidInputError("`threshold` and `noise_scale` must be positive")
        self._rng = np.random.default_rng(self.random_state)
        self._noisy_threshold = self.threshold + float(self._rng.laplace(0.0, 2.0 * self.noise_scale))

    def ask(self, development_value: float, holdout_value: float) -> float:
        """The value that may be reported for one model."""
        gap = abs(development_value - holdout_value) + float(self._rng.laplace(0.0, 4.0 * self.noise_scale))
        if self.n_holdout_answers >= self.budget or gap <= self._noisy_threshold:
            return development_value
        self.n_holdout_answers += 1
        self._noisy_threshold = self.threshold + float(self._rng.laplace(0.0, 2.0 * self.noise_scale))
        return holdout_value + float(self._rng.laplace(0.0, self.noise_scale))
