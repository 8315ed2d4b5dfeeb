"""How the parts of a forecast are weighed: by their out-of-fold error, kept near fixed weights where data are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from predictors.benchmark_scores.components import ROUTES, Parts
from predictors.benchmark_scores.scale import from_logit

__all__ = ["EXPERTS", "Stack"]

Floats = NDArray[np.float64]
EXPERTS = (*ROUTES, "direct")
PRIOR_WEIGHTS = {"process": 1.0, "forest": 1.0, "neighbours": 1.0, "direct": 3.0}
"""Half of the weight to the routes, half to the direct forecast, before any data."""
PENALTY = 0.1
DAMPING_PENALTY = 0.5


@dataclass(frozen=True)
class Stack:
    """Weights of `EXPERTS` (they sum to 1), and factors of the model and interaction effects."""

    weights: tuple[float, ...]
    model: float = 1.0
    interaction: float = 1.0

    @classmethod
    def fit(cls, parts: Parts, score: Floats, weight: Floats, experts: Sequence[str] = EXPERTS) -> Stack:
        """Minimise the weighted absolute error in points of out-of-fold `parts`.

        Parameters
        ----------
        parts : Parts
            Out-of-fold forecasts of every row.
        score : ndarray of shape (n_samples,)
            Outcomes in points.
        weight : ndarray of shape (n_samples,)
            Weight of each row.
        experts : sequence of str, optional
            Those that may have weight; the others get 0.
        """
        from scipy.optimize import minimize

        used = np.array([name in experts for name in EXPERTS])
        start = np.log([PRIOR_WEIGHTS[name] for name in EXPERTS])
        share = weight / weight.sum()

        def unpack(v: Floats) -> Stack:
            logs = np.where(used, start + v[:-2], -np.inf)
            raw = np.exp(logs - logs[used].max())
            return Stack(tuple(float(x) for x in raw / raw.sum()), float(v[-2]), float(v[-1]))

        def loss(v: Floats) -> float:
            error = from_logit(unpack(v).location(parts)) - score
            penalty = PENALTY * (v[:-2] ** 2).sum() + DAMPING_PENALTY * ((v[-2:] - 1) ** 2).sum()
            return float((share * np.sqrt(error**2 + 1)).sum() + penalty)

        bounds = [(-4.0, 4.0)] * len(EXPERTS) + [(0.0, 1.3)] * 2
        first = np.r_[np.zeros(len(EXPERTS)), 1.0, 1.0]
        return unpack(minimize(loss, first, method="L-BFGS-B", bounds=bounds).x)

    def location(self, parts: Parts) -> Floats:
        """Forecast location of every row, logit scale."""
        *routes, direct = self.weights
        share = 1.0 - direct
        common = parts.mean + self.model * parts.model + self.interaction * parts.interaction
        return np.asarray(parts.routes @ np.array(routes) + share * common + direct * parts.direct)

    def disagreement(self, parts: Parts) -> Floats:
        """Standard deviation of the experts around each other, logit scale."""
        common = parts.mean + self.model * parts.model + self.interaction * parts.interaction
        each = np.column_stack([parts.routes + common[:, None], parts.direct])[:, np.array(self.weights) > 0]
        return np.asarray(each.std(axis=1))

    def state(self) -> dict[str, Any]:
        """JSON state; the constructor's arguments."""
        return {"weights": list(self.weights), "model": self.model, "interaction": self.interaction}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild what `state` wrote."""
        return cls(tuple(state["weights"]), state["model"], state["interaction"])
