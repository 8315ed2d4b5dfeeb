"""Low-rank model x benchmark factorisation of what the description leaves unexplained.

Residuals of one benchmark over models are a draw ``loadings @ w + noise`` with ``w ~ N(0, I)``. With scores of
some models on a new benchmark, `w` has a posterior in closed form, and every other model's forecast moves
with it. A model that was never seen has the loadings that its metadata suggest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["ResidualFactors"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class ResidualFactors:
    """Loadings of shape (n_models, rank), residual variance per model, and their values for unseen models."""

    loadings: Floats
    variance: Floats
    regression: Floats
    centre: Floats
    scale: Floats
    typical_variance: float

    @classmethod
    def fit(
        cls, residuals: Floats, benchmarks: Codes, models: Codes, metadata: Floats, *, rank: int = 4,
        weights: Floats | None = None, penalty: float = 6.0, sweeps: int = 15,
    ) -> Self:  # fmt: skip
        """Expectation maximisation for factor analysis with missing cells.

        Parameters
        ----------
        residuals : ndarray of shape (n_samples,)
            Out-of-fold residuals, logit scale.
        benchmarks, models : ndarray of shape (n_samples,)
            Codes of each row.
        metadata : ndarray of shape (n_models, n_columns)
            Of every model; NaN where unknown.
        rank : int, optional
            Number of factors.
        weights : ndarray of shape (n_benchmarks,), optional
            Weight of each benchmark (members of large leak groups less). By default all 1.
        penalty : float, optional
            Runs' worth of evidence for the loadings that the metadata suggest.
        sweeps : int, optional
            EM steps.
        """
        n_models = len(metadata)
        w8 = np.ones(int(benchmarks.max()) + 1) if weights is None else weights / weights.mean()
        n_benchmarks = len(w8)
        centre, scale, design = _standardise(metadata)
        rank = max(1, min(rank, n_models - 1, n_benchmarks - 1))
        loadings: Floats = np.zeros((n_models, rank))
        loadings[:, 0] = residuals.std()
        waves = np.cos(np.outer(np.arange(n_models) / n_models * np.pi, np.arange(1, rank)))
        loadings[:, 1:] = 0.3 * residuals.std() * waves
        variance = np.full(n_models, 0.3 * residuals.var() + 1e-6)
        mask, cells = np.zeros((n_benchmarks, n_models)), np.zeros((n_benchmarks, n_models))
        np.add.at(mask, (benchmarks, models), 1.0)
        np.add.at(cells, (benchmarks, models), residuals)
        cells = np.divide(cells, mask, out=cells, where=mask > 0)  # a cell's several runs are one
        mask = np.minimum(mask, 1.0)
        counts = mask.T @ w8
        regression = np.zeros((design.shape[1], rank))
        for _ in range(sweeps):
            second, first, square, count = _expectation(cells, mask, loadings, variance, w8)
            regression = _ridge(design, loadings, counts)
            expected = design @ regression
            prior = penalty * np.eye(rank)
            loadings = np.asarray(np.linalg.solve(second + prior, (first + penalty * expected)[:, :, None])[:, :, 0])
            explained = square - 2 * (loadings * first).sum(1) + np.einsum("jk,jkl,jl->j", loadings, second, loadings)
            pooled = explained.sum() / count.sum()
            variance = np.maximum((explained + penalty * pooled) / (count + penalty), 1e-4)
        return cls(loadings, variance, regression, centre, scale, float(pooled))

    def of_models(self, codes: Codes, metadata: Floats) -> tuple[Floats, Floats]:
        """Loadings and variances of models by code; a code of -1 is a model that was never seen."""
        filled = np.where(np.isnan(metadata), self.centre, metadata)
        design = np.column_stack([np.ones(len(filled)), (filled - self.centre) / self.scale])
        seen = codes >= 0
        loadings = np.where(seen[:, None], self.loadings[codes], design @ self.regression)
        return loadings, np.where(seen, self.variance[codes], 1.5 * self.typical_variance)

    @staticmethod
    def update(loadings: Floats, variance: Floats, known: Codes, residuals: Floats) -> tuple[Floats, Floats]:
        """Shift and standard deviation of every model's residual, given those of `known` rows.

        Parameters
        ----------
        loadings, variance : ndarray of shape (n_models, rank), (n_models,)
            Of the models of one benchmark, known and asked for.
        known : ndarray of int
            Positions whose `residuals` are known.
        """
        seen = loadings[known]
        precision = np.eye(loadings.shape[1]) + (seen / variance[known, None]).T @ seen
        covariance = np.linalg.inv(precision)
        mean = covariance @ ((seen / variance[known, None]).T @ residuals)
        spread = np.einsum("jk,kl,jl->j", loadings, covariance, loadings) + variance
        return loadings @ mean, np.sqrt(spread)

    def arrays(self) -> dict[str, Floats]:
        """Arrays for `from_state`."""
        names = ("loadings", "variance", "regression", "centre", "scale")
        return {name: np.ascontiguousarray(getattr(self, name)) for name in names}

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Rebuild from `arrays` and ``{"typical_variance": float}``."""
        return cls(**arrays, typical_variance=state["typical_variance"])


def _standardise(metadata: Floats) -> tuple[Floats, Floats, Floats]:
    known = ~np.isnan(metadata)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, metadata, 0).sum(axis=0) / n
    filled = np.where(known, metadata, centre)
    scale = np.sqrt(((filled - centre) ** 2).sum(axis=0) / n)
    scale = np.where(scale > 1e-9, scale, 1.0)
    return centre, scale, np.column_stack([np.ones(len(metadata)), (filled - centre) / scale])


def _ridge(design: Floats, loadings: Floats, counts: Floats) -> Floats:
    weighted = design * counts[:, None] / max(counts.mean(), 1e-9)
    penalty = 10.0 * np.eye(design.shape[1])
    penalty[0, 0] = 1e-6
    return np.linalg.solve(weighted.T @ design + penalty, weighted.T @ loadings)


def _expectation(
    cells: Floats, mask: Floats, loadings: Floats, variance: Floats, weights: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Sums over benchmarks that the maximisation step needs, per model; `cells` is 0 where `mask` is."""
    n_models, rank = loadings.shape
    outer = (loadings[:, :, None] * loadings[:, None, :] / variance[:, None, None]).reshape(n_models, -1)
    precision = (mask @ outer).reshape(-1, rank, rank) + np.eye(rank)
    covariance = np.linalg.inv(precision)
    mean = np.einsum("bkl,bl->bk", covariance, cells @ (loadings / variance[:, None]))
    moment = covariance + mean[:, :, None] * mean[:, None, :]
    weighted = mask * weights[:, None]
    second = (weighted.T @ moment.reshape(len(moment), -1)).reshape(n_models, rank, rank)
    first = (cells * weights[:, None]).T @ mean
    return second, first, (cells**2 * weights[:, None]).sum(axis=0), weighted.sum(axis=0)
