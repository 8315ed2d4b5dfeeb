"""How far the models of one benchmark miss together: its level, and slopes over what is known of a model.

Residuals of one benchmark over models are ``loadings @ u + noise`` with ``u ~ N(0, covariance)``: a level, and slopes
over the model's part of the forecast, its square, its release and its size. With scores of some models on a new
benchmark `u` has a posterior in closed form, and every other model's forecast moves with it, seen in training or not.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ...arrays import Codes, Floats
from ..description.features import MODEL_COLUMNS
from ..scale import moments

USED = [MODEL_COLUMNS.index(name) for name in ("release_year", "n_params")]
SWEEPS = 40


@dataclass(frozen=True)
class ResidualSlopes:
    """`covariance` of the level and the slopes, variance `noise` of what is left, and how figures are standardised."""

    covariance: Floats
    noise: float
    centre: Floats
    scale: Floats

    @classmethod
    def fit(cls, residuals: Floats, benchmarks: Codes, skill: Floats, features: Floats, weights: Floats) -> Self:
        """Expectation maximisation (Laird & Ware 1982, Random-effects models for longitudinal data).

        Of every row (n_samples,) the out-of-fold residual, the code of its benchmark, the `skill` (the model's part of
        the forecast, logit scale) and the `features` (n_samples, len(MODEL_COLUMNS)); the weight of each benchmark
        (members of large leak groups less).
        """
        out = cls(np.empty((0, 0)), 0.0, *moments(np.column_stack([skill, features[:, USED]])))
        design = out._design(skill, features)
        order = np.argsort(benchmarks, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(benchmarks[order])) + 1)
        covariance, noise = np.diag([1.0, *[0.3] * (design.shape[1] - 1)]), 0.3
        for _ in range(SWEEPS):
            total, weight, square, count = np.zeros_like(covariance), 0.0, 0.0, 0.0
            precision = np.linalg.inv(covariance)
            for at in parts:
                here, share = design[at], weights[benchmarks[at[0]]]
                spread = np.linalg.inv(precision + here.T @ here / noise)
                mean = spread @ here.T @ residuals[at] / noise
                left = residuals[at] - here @ mean
                total += share * (spread + np.outer(mean, mean))
                weight += share
                share /= np.sqrt(len(at))
                square += share * (left @ left + np.einsum("jk,kl,jl->", here, spread, here))
                count += share * len(at)
            covariance, noise = total / weight + 1e-6 * np.eye(len(total)), max(square / count, 1e-4)
        return cls(covariance, float(noise), out.centre, out.scale)

    def _design(self, skill: Floats, features: Floats) -> Floats:
        figures = np.column_stack([skill, features[:, USED]])
        standard = np.nan_to_num((figures - self.centre) / self.scale)
        return np.column_stack([np.ones(len(skill)), standard, standard[:, 0] ** 2 - 1])

    def loadings(self, skill: Floats, features: Floats) -> Floats:
        """Of each row over independent unit effects of its benchmark, shape (n_samples, n_effects)."""
        return np.asarray(self._design(skill, features) @ np.linalg.cholesky(self.covariance))

    def update(self, loadings: Floats, given: Codes, residuals: Floats) -> tuple[Floats, Floats]:
        """Shift and standard deviation of every model's residual, given the `residuals` at the positions `given`.

        `loadings` (n_models, n_effects) are of the models of one benchmark, known and asked for.
        """
        seen = loadings[given]
        covariance = np.linalg.inv(np.eye(loadings.shape[1]) + seen.T @ seen / self.noise)
        mean = covariance @ (seen.T @ residuals) / self.noise
        spread = np.einsum("jk,kl,jl->j", loadings, covariance, loadings) + self.noise
        return loadings @ mean, np.sqrt(spread)
