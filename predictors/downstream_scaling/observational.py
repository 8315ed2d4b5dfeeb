"""Observational scaling: capabilities as principal components of many models' benchmark scores.

Scores of many public models on many benchmarks are close to low rank; each family's components rise linearly with log
compute, and a task is a sigmoid of the components (Ruan, Maddison & Hashimoto 2024, arXiv 2405.10938).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from predictors.downstream_scaling.least_squares import Floats
from predictors.errors import InvalidInputError

__all__ = ["ObservationalLaw"]

EDGE = 0.01
ROUNDS = 200
RIDGE = 0.1
FAMILY_PULL = 2.0


@dataclass(frozen=True)
class ObservationalLaw:
    """Fitted components, and how a family's components rise with compute.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_benchmarks,)
        Of the logit scores.
    directions : ndarray of shape (n_components, n_benchmarks)
    components : ndarray of shape (n_models, n_components)
    log_flops : ndarray of shape (n_models,)
        NaN where compute is not known.
    families : ndarray of str of shape (n_models,)
    """

    mean: Floats
    scale: Floats
    directions: Floats
    components: Floats
    log_flops: Floats
    families: NDArray[np.str_]

    @classmethod
    def fit(
        cls, shares: Floats, log_flops: Floats, families: NDArray[np.str_], *, n_components: int = 3
    ) -> ObservationalLaw:
        """Low-rank fit of the logit scores with gaps filled in turn (alternating projection).

        Parameters
        ----------
        shares : ndarray of shape (n_models, n_benchmarks)
            Scores as shares of the way from chance to the upper bound; NaN where not measured.
        log_flops, families : ndarray of shape (n_models,)
        """
        known = np.isfinite(shares)
        if shares.ndim != 2 or min(shares.shape) <= n_components:
            raise InvalidInputError(
                f"`shares` must have more than {n_components} models and benchmarks, got {shares.shape}"
            )
        if not known.any(axis=1).all() or not known.any(axis=0).all():
            raise InvalidInputError("`shares` must hold one score or more of every model and benchmark")
        z = np.where(known, logit(np.clip(np.where(known, shares, 0.5), EDGE, 1 - EDGE)), 0.0)
        count = known.sum(axis=0)
        mean = z.sum(axis=0) / count
        scale = np.sqrt(np.where(known, (z - mean) ** 2, 0.0).sum(axis=0) / count) + 0.1
        standard = np.where(known, (z - mean) / scale, 0.0)
        filled = standard.copy()
        for _ in range(ROUNDS):
            u, s, vt = np.linalg.svd(filled, full_matrices=False)
            low = (u[:, :n_components] * s[:n_components]) @ vt[:n_components]
            new = np.where(known, standard, low)
            if np.abs(new - filled).max() < 1e-4:
                break
            filled = new
        directions = vt[:n_components]
        return cls(mean, scale, directions, filled @ directions.T, log_flops, families)

    def components_at(self, family: str, log_flops: float) -> Floats:
        """Components of a model of `family` at that compute: its own line, pulled to the slope of all families."""
        known = np.isfinite(self.log_flops)
        names = np.unique(self.families[known])
        centred_x, centred_y = np.zeros(known.sum()), np.zeros((known.sum(), self.components.shape[1]))
        x, y, who = self.log_flops[known], self.components[known], self.families[known]
        for name in names:
            rows = who == name
            centred_x[rows], centred_y[rows] = x[rows] - x[rows].mean(), y[rows] - y[rows].mean(axis=0)
        shared = centred_x @ centred_y / max(centred_x @ centred_x, 1e-9)
        own = who == family
        if not own.any():
            raise InvalidInputError(f"`family` {family!r} has no model of known compute")
        spread = centred_x[own] @ centred_x[own]
        slope = (centred_x[own] @ centred_y[own] + FAMILY_PULL * shared) / (spread + FAMILY_PULL)
        return np.asarray(y[own].mean(axis=0) + slope * (log_flops - x[own].mean()))

    def forecast(self, shares: Floats, family: str, log_flops: float) -> float:
        """Share on a task of a model of `family` at that compute.

        Parameters
        ----------
        shares : ndarray of shape (n_models,)
            The models' shares on the task, NaN where not measured; through these runs the sigmoid link.
        """
        known = np.isfinite(shares)
        if known.sum() < 3:
            return float("nan")
        design = np.column_stack([np.ones(known.sum()), self.components[known]])
        z = logit(np.clip(shares[known], EDGE, 1 - EDGE))
        penalty = RIDGE * np.diag(np.r_[0.0, np.ones(design.shape[1] - 1)])
        weights = np.linalg.solve(design.T @ design + penalty, design.T @ z)
        return float(expit(np.r_[1.0, self.components_at(family, log_flops)] @ weights))
