"""What more samples of a request buy: pass rates of the items behind the draws, and coverage beyond what was measured.

References
----------
Brown et al. (2024, arXiv 2407.21787) and Schaeffer et al. (2025, arXiv 2502.17578) for coverage over items, whose
laws `bench/compare_study.py samples` fits as rivals; Stroebl, Kapoor, Narayanan (2024, arXiv 2411.17501) for verifiers
that let wrong answers through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import bdtrc, ndtri

from ...arrays import Floats
from ...errors import InvalidInputError
from ...metrics.estimates.clusters import mean_estimate, wilson_interval
from ...metrics.estimates.pass_at_k import pass_at_k

GAIN_KEPT, GAIN_SPREAD, SPREAD_BY_ITEMS = 0.96, 0.12, 33.0
"""Of the coverage that the fitted pass rates promise beyond the measured draws, what came true, its relative standard
deviation, and what of its square grows as items get fewer (over items): from all models of the bundled ladder, as
`bench/compare_study.py samples` prints them."""
RELATED_SPREAD, RELATED_BY_ITEMS = 0.05, 2.5
"""The same where relatives say how rates are spread: all that is promised comes true on average."""
LEAST_RELATIVES, MOST_GAP, TEMPER = 5, 20.0, 4.0
"""Fewer relatives are too few to draw from; they are none where the draws are less likely under their rates than under
rates of their own by more than this (nats); and what draws say of who is alike counts by a quarter."""
N_ITERATIONS = 300
_GRID = np.r_[0.0, np.logspace(-4, -0.3, 25), 1 - np.logspace(-0.4, -3, 12), 1.0]


@dataclass(frozen=True)
class PassRates:
    """Pass rates of the items, as shares of a fixed grid: the distribution under which the draws are likeliest.

    Attributes
    ----------
    weights : ndarray of shape (n_rates,)
        Share of the items with each rate of the grid.
    n_correct, n_draws : ndarray of shape (n_items,)
        What it was fitted to.
    has_relatives : bool
        Whether the rates are those of relatives.
    """

    weights: Floats
    n_correct: Floats
    n_draws: Floats
    has_relatives: bool = False

    @classmethod
    def fit(cls, n_correct: ArrayLike, n_draws: ArrayLike, *, relatives: "Sequence[PassRates]" = ()) -> "PassRates":
        """Nonparametric maximum likelihood (Laird 1978) by expectation maximisation, stopped early.

        `relatives` are other systems on these items with more draws: where there are `LEAST_RELATIVES` and the draws
        are as likely under their rates, the rates are a mixture of theirs by how alike they are (empirical Bayes).

        Raises
        ------
        InvalidInputError
            If there is no item, or an item with no draw or more right ones than draws.
        """
        c, n = np.broadcast_arrays(np.asarray(n_correct, dtype=np.float64), np.asarray(n_draws, dtype=np.float64))
        if c.size == 0 or (c < 0).any() or (c > n).any() or (n < 1).any():
            raise InvalidInputError("every item needs 0 <= n_correct <= n_draws and a draw, and there must be an item")
        pairs, times = np.unique(np.column_stack([c, n]), axis=0, return_counts=True)
        likelihood = _GRID ** pairs[:, :1] * (1 - _GRID) ** (pairs[:, 1:] - pairs[:, :1])
        weights = np.full(_GRID.size, 1 / _GRID.size)
        for _ in range(N_ITERATIONS):
            posterior = likelihood * weights
            weights = (times / posterior.sum(axis=1)) @ posterior / c.size
        if len(relatives) < LEAST_RELATIVES:
            return cls(weights, c, n)
        theirs = np.maximum([relative.weights for relative in relatives], 1e-9)
        alike = times @ np.log(likelihood @ theirs.T) / TEMPER
        mixed = np.exp(alike - alike.max()) @ theirs / np.exp(alike - alike.max()).sum()
        gap = times @ np.log(likelihood @ weights) - times @ np.log(likelihood @ mixed)
        return cls(mixed, c, n, True) if gap <= MOST_GAP else cls(weights, c, n)

    def coverage(self, ks: ArrayLike, *, coverage: float = 0.9) -> pd.DataFrame:
        """Pass@k of these items: measured where every item has `k` draws, forecast beyond.

        Returns
        -------
        DataFrame
            `k`, `pass_at_k` (0-1), `lower`, `upper`, `is_measured`. Ends of a measured value are those for items like
            these; ends of a forecast say where more draws of these very items will come out. Of one draw an item they
            are all that is possible, from items that are sure to items that are alike.
        """
        wanted = np.atleast_1d(np.asarray(ks, dtype=np.int64))
        z = float(ndtri(0.5 + coverage / 2))
        return pd.DataFrame([self._coverage(k, coverage, z) for k in wanted.tolist()])

    def _coverage(self, k: int, coverage: float, z: float) -> dict[str, float | bool]:
        measured = self.n_draws >= k
        of_items = (self.n_correct > 0).astype(np.float64)
        of_items[measured] = pass_at_k(self.n_correct[measured], self.n_draws[measured], k)
        if measured.all():
            mean = mean_estimate(of_items, np.arange(of_items.size), of_items.size)
            lower, upper = wilson_interval(mean, coverage)
            return {"k": k, "pass_at_k": mean.value, "lower": lower, "upper": upper, "is_measured": True}
        gain = float(np.where(~measured & (self.n_correct == 0), self._solved_later(k), 0.0).mean())
        learnt = (GAIN_KEPT, GAIN_SPREAD, SPREAD_BY_ITEMS)
        if self.has_relatives:
            learnt = (1.0, RELATED_SPREAD, RELATED_BY_ITEMS)
        value, share = float(of_items.mean()) + learnt[0] * gain, max(gain, 0.5 / of_items.size)
        # How many items are solved anew is a draw of its own; one could be, whatever the rates say.
        relative = np.hypot(learnt[1], np.sqrt(learnt[2] / of_items.size))
        spread = z * float(np.hypot(relative * gain, np.sqrt(share * (1 - share) / of_items.size)))
        least = float(of_items.mean())
        lower, upper = max(least, value - spread), min(1.0, value + spread)
        if self.n_draws.max() < 2 and not self.has_relatives:
            # One draw tells the mean rate alone: every item may be sure (least), or all alike (Jensen, most).
            rate = mean_estimate(self.n_correct, np.arange(of_items.size), of_items.size)
            lower, upper = least, 1 - (1 - wilson_interval(rate, coverage)[1]) ** k
        return {"k": k, "pass_at_k": value, "lower": lower, "upper": upper, "is_measured": False}

    def _solved_later(self, k: int) -> Floats:
        """Probability that an item that no draw has solved is by its k-th; shape (n_items,)."""
        draws, of_item = np.unique(self.n_draws, return_inverse=True)
        unsolved = self.weights * (1 - _GRID) ** draws[:, None]
        left = (unsolved * (1 - _GRID) ** np.maximum(k - draws, 0)[:, None]).sum(axis=1)
        return np.asarray((1 - left / np.maximum(unsolved.sum(axis=1), 1e-300))[of_item])

    def majority(self, k: int) -> float:
        """Probability that most of `k` answers are right, ties half; wrong ones are taken to agree, the worst case."""
        if k == 1:
            return float(self.weights @ _GRID)
        most = bdtrc(k // 2, k, _GRID)
        tie = bdtrc(k // 2 - 1, k, _GRID) - most if k % 2 == 0 else 0.0
        return float(self.weights @ (most + 0.5 * tie))

    def best_of(self, k: int, *, false_positive_rate: float, true_positive_rate: float = 1.0) -> tuple[float, float]:
        """Answers that are drawn until a verifier accepts one, `k` at most; of `k` refused ones the last is given.

        Returns
        -------
        right : float
            Probability that the given answer is right.
        draws : float
            Expected number of draws.
        """
        accepted = true_positive_rate * _GRID + false_positive_rate * (1 - _GRID)
        refused = (1 - accepted) ** k
        with np.errstate(invalid="ignore", divide="ignore"):
            if_accepted = np.where(accepted > 0, true_positive_rate * _GRID / accepted, 0.0)
            if_refused = np.where(accepted < 1, (1 - true_positive_rate) * _GRID / (1 - accepted), 0.0)
            draws = np.where(accepted > 0, (1 - refused) / accepted, float(k))
        right = if_accepted * (1 - refused) + if_refused * refused
        return float(self.weights @ right), float(self.weights @ draws)
