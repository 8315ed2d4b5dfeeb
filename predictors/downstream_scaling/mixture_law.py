"""Loss by size, data and share of the domain in the training mixture (D-CPT law; Que et al. 2024, arXiv 2406.01375).

``L(N, D, r) = E + A / N^alpha + B r^eta / D^beta + C / (r + eps)^gamma``: more of the domain (r) lowers its loss the
most where there is little of it, and wears out its data sooner. Gives a loss, not a score: `two_step` leads on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from predictors.downstream_scaling.least_squares import Floats
from predictors.errors import InvalidInputError

__all__ = ["MixtureLaw"]

STARTS = ((-1.0, -1.0, -1.0), (0.0, 0.0, -2.0), (-2.0, -2.0, 0.0))
LEAST = 9


@dataclass(frozen=True)
class MixtureLaw:
    """A fitted law; `theta` holds the logs of E, A, B, C, alpha, beta, gamma, eta and eps.

    `n_params` and `n_tokens` are counted in units of their geometric means in the data, `unit_params` and
    `unit_tokens`.
    """

    theta: Floats
    unit_params: float
    unit_tokens: float

    def __call__(self, n_params: ArrayLike, n_tokens: ArrayLike, ratio: ArrayLike) -> Floats:
        """Loss at that size, data and share of the domain (0-1)."""
        n = np.log(np.asarray(n_params, dtype=np.float64) / self.unit_params)
        d = np.log(np.asarray(n_tokens, dtype=np.float64) / self.unit_tokens)
        return _law(self.theta, n, d, np.asarray(ratio, dtype=np.float64))

    @classmethod
    def fit(cls, n_params: ArrayLike, n_tokens: ArrayLike, ratio: ArrayLike, loss: ArrayLike) -> MixtureLaw:
        """Robust least squares of log losses (Huber) from several starts, at most 400 evaluations each.

        Raises
        ------
        InvalidInputError
            With fewer than `LEAST` runs, a share outside 0-1, or a loss that is not positive.
        """
        size, data, share, y = (np.asarray(a, dtype=np.float64) for a in (n_params, n_tokens, ratio, loss))
        if len(y) < LEAST or (share < 0).any() or (share > 1).any() or not (y > 0).all():
            raise InvalidInputError(f"the law needs {LEAST} runs or more, shares in 0-1 and positive losses")
        units = float(np.exp(np.log(size).mean())), float(np.exp(np.log(data).mean()))
        n, d = np.log(size / units[0]), np.log(data / units[1])

        def residuals(theta: Floats) -> Floats:
            # Parameters the runs say nothing about stay where exponents of known laws lie.
            return np.asarray(np.r_[(np.log(_law(theta, n, d, share)) - np.log(y)) / 0.01, 0.05 * (theta - centre)])

        level = float(np.log(y.min()))
        best = None
        for a, b, c in STARTS:
            centre = np.array([level - 0.5, level + a, level + b, level + c, -1.1, -1.1, -1.1, -1.0, -2.0])
            found = least_squares(residuals, centre, loss="huber", max_nfev=400)
            if best is None or found.cost < best.cost:
                best = found
        assert best is not None
        return cls(best.x, *units)


def _law(theta: Floats, n: Floats, d: Floats, r: Floats) -> Floats:
    e, a, b, c, alpha, beta, gamma, eta, eps = np.exp(np.clip(theta, -30, 30))
    with np.errstate(over="ignore"):
        return np.asarray(e + a * np.exp(-alpha * n) + b * r**eta * np.exp(-beta * d) + c / (r + eps) ** gamma)
