"""A Gaussian model of the means of cells: what cells share, they share through their groups.

The mean of a cell is a constant plus effects of its source, its benchmark, its model (vendor, family, base, effort) and
itself, each normal; whether the model reasons, and how long the prompts of the benchmark are, have effects of their own
that differ between sources. The standard deviations of these effects are what a forecast of an unseen cell is wide by.
They are estimated by their posterior mode under log-normal priors; draws about it (Laplace) are kept, which makes the
tails as heavy as a handful of sources warrants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.special import gammaincinv

from ..pooling.hierarchy import cell_keys
from .cells import CellTable
from .lengths import LENGTH

Floats = NDArray[np.float64]
_Group = tuple[NDArray[np.object_], Floats]
DESCRIPTORS = ["vendor", "family", "base", "reasons", LENGTH]
"""Columns that describe a cell beside `cells.CELL`; `reasons` is a share in [0, 1]."""
_FACTORISING = Lock()


@dataclass(frozen=True)
class _Effect:
    """One kind of effect: cells with the same `keys` share it, times what their column `by` holds."""

    name: str
    keys: tuple[str, ...]
    prior_sd: float
    by: str = ""


EFFECTS = (
    _Effect("source", ("source",), 0.9),
    _Effect("source x reasoning", ("source",), 0.5, by="reasons"),
    _Effect("benchmark", ("source", "benchmark"), 0.5),
    _Effect("benchmark x reasoning", ("source", "benchmark"), 0.3, by="reasons"),
    _Effect("vendor", ("vendor",), 0.2),
    _Effect("family", ("family",), 0.2),
    _Effect("base", ("base",), 0.2),
    _Effect("configuration", ("base", "reasoning_effort"), 0.2),
    _Effect("configuration x source", ("base", "reasoning_effort", "source"), 0.3),
    _Effect("cell", ("base", "reasoning_effort", "source", "benchmark"), 0.25),
    _Effect("prompt length", (), 0.3, by=LENGTH),
    _Effect("prompt length x source", ("source",), 0.3, by=LENGTH),
)
PRIOR_LOG_SD = 0.5
CONSTANT_VARIANCE = 9.0
REASONING_VARIANCE = 4.0
JITTER = 1e-8
LEAST_VARIANCE = 1e-6
FREEDOM = 5.0
SCALES = (FREEDOM - 2) / (2 * gammaincinv(FREEDOM / 2, (np.arange(4) + 0.5) / 4))
STEP = 1e-2
"""Of the log standard deviations, for the curvature at the mode."""


@dataclass(frozen=True)
class CellPosterior:
    """Distribution of the means of some cells: a mixture of normals.

    Attributes
    ----------
    mean : ndarray of shape (n_components, n_cells)
        Log tokens, given a draw of the standard deviations and a scale of what is new.
    covariance : ndarray of shape (n_components, n_cells, n_cells)
        What cells have in common they are off by together.
    weight : ndarray of shape (n_components,)
        Adds up to 1.
    """

    mean: Floats
    covariance: Floats
    weight: Floats

    @property
    def variance(self) -> Floats:
        """Variance of each cell's mean within each component; shape (n_components, n_cells)."""
        return np.diagonal(self.covariance, axis1=1, axis2=2)

    def average(self) -> Floats:
        """Mean of the mixture; shape (n_cells,)."""
        return np.asarray(self.weight @ self.mean)

    def total_variance(self) -> Floats:
        """Variance of the mixture; shape (n_cells,)."""
        return np.asarray(self.weight @ (self.variance + (self.mean - self.average()) ** 2))

    def draw(self, n_draws: int, rng: np.random.Generator) -> Floats:
        """Draws of the means of all cells together; shape (n_cells, n_draws)."""
        component = rng.choice(len(self.weight), size=n_draws, p=self.weight)
        noise = rng.normal(size=(self.mean.shape[1], n_draws))
        drawn = np.empty_like(noise)
        for place in np.unique(component):
            here = component == place
            values, vectors = np.linalg.eigh(self.covariance[place])
            drawn[:, here] = self.mean[place][:, None] + vectors * np.sqrt(np.maximum(values, 0.0)) @ noise[:, here]
        return drawn


class CellEffects:
    """Random effects of cells.

    Parameters
    ----------
    n_draws : int
        Draws of the standard deviations that a forecast mixes.
    random_state : int, optional
    """

    def __init__(self, *, n_draws: int = 32, random_state: int | None = 0) -> None:
        self.n_draws = n_draws
        self.random_state = random_state

    def fit(self, table: CellTable) -> CellEffects:
        """Estimate the standard deviations of the effects and keep draws of them.

        Parameters
        ----------
        table : CellTable
            Its `cells` hold `DESCRIPTORS` beside `cells.CELL`.
        """
        self._take_in(table)
        start = np.log([effect.prior_sd for effect in EFFECTS])
        kernels = _kernels(self._groups, self._groups)
        fixed = _fixed(self._reasons, self._reasons)

        def objective(log_sd: Floats) -> tuple[float, Floats]:
            return _negative_log_posterior(log_sd, start, kernels, fixed, self.table_.error, self._residual)

        from scipy.optimize import minimize

        mode = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 80, "ftol": 1e-6}).x
        self.log_sds_ = _laplace_draws(objective, mode, self.n_draws, np.random.default_rng(self.random_state))
        return self

    def _take_in(self, table: CellTable) -> None:
        self.table_, self.centre_ = table, float(table.mean.mean())
        self._residual = table.mean - self.centre_
        self._reasons = table.cells["reasons"].to_numpy(dtype=np.float64)
        self._groups = self._groups_of(table.cells)
        self._factors: list[tuple[Floats, Floats]] = []

    def posterior(self, cells: pd.DataFrame, anchors: CellTable | None = None) -> CellPosterior:
        """What is known of the means of `cells`, seen before or not.

        Parameters
        ----------
        cells : DataFrame of shape (n_cells, n_columns)
            Columns `cells.CELL` and `DESCRIPTORS`.
        anchors : CellTable, optional
            Cells measured since the fit; all count at once, their order does not matter.

        Returns
        -------
        CellPosterior
            Models and benchmarks that follow no pattern exist, so what is not known of the cells is scaled by
            (nu - 2) / chi2 with nu = `FREEDOM`; scales that make the anchors likelier weigh more.
        """
        every = cells if anchors is None else pd.concat([anchors.cells, cells], ignore_index=True)
        n_anchors = 0 if anchors is None else len(anchors)
        groups, reasons = self._groups_of(every), every["reasons"].to_numpy(dtype=np.float64)
        across, among = _kernels(groups, self._groups), _kernels(groups, groups)
        across_fixed, among_fixed = _fixed(reasons, self._reasons), _fixed(reasons, reasons)
        means, covariances, log_weights = [], [], []
        for log_sd, (lower, residual) in zip(self.log_sds_, self._factorised(), strict=True):
            variance = np.exp(2 * log_sd)
            towards = solve_triangular(lower, (across_fixed + np.tensordot(variance, across, 1)).T, lower=True)
            mean = self.centre_ + towards.T @ residual
            covariance = among_fixed + np.tensordot(variance, among, 1) - towards.T @ towards
            for scale in SCALES:
                m, v, log_weight = _conditioned(mean, scale * covariance, anchors, n_anchors)
                means.append(m)
                covariances.append(v)
                log_weights.append(log_weight)
        weight = np.exp(np.array(log_weights) - max(log_weights))
        return CellPosterior(np.array(means), np.array(covariances), weight / weight.sum())

    # -- parts ---------------------------------------------------------------------------------------
    def _factorised(self) -> list[tuple[Floats, Floats]]:
        """Cholesky factor of the cells' covariance and the whitened residual, for each draw; made when first asked."""
        with _FACTORISING:  # threads that serve ask at once: the first makes the list, nobody sees half of it
            if not self._factors:
                kernels, fixed = _kernels(self._groups, self._groups), _fixed(self._reasons, self._reasons)
                made = []
                for log_sd in self.log_sds_:
                    covariance = fixed + np.tensordot(np.exp(2 * log_sd), kernels, 1)
                    covariance[np.diag_indices(len(self.table_))] += self.table_.error + JITTER
                    lower: Floats = np.linalg.cholesky(covariance).astype(np.float64)
                    made.append((lower, solve_triangular(lower, self._residual, lower=True)))
                self._factors = made
        return self._factors

    def _groups_of(self, cells: pd.DataFrame) -> list[_Group]:
        columns = cells.assign(**{"": 1.0})
        return [(cell_keys(cells, effect.keys), columns[effect.by].to_numpy(dtype=np.float64)) for effect in EFFECTS]

    # -- persistence ---------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores what was learnt."""
        table, arrays = self.table_.state()
        return {"table": table}, {**arrays, "log_sds": self.log_sds_}

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        effects = cls(n_draws=len(arrays["log_sds"]))
        effects._take_in(CellTable.from_state(state["table"], arrays))
        effects.log_sds_ = arrays["log_sds"]
        return effects


def _kernels(one: list[_Group], other: list[_Group]) -> Floats:
    """Covariance of each effect at a standard deviation of 1; shape (n_effects, n_one, n_other)."""
    pairs = []
    for (keys, values), (other_keys, other_values) in zip(one, other, strict=True):
        codes, _ = pd.factorize(np.concatenate([keys, other_keys]))
        same = codes[: len(keys), None] == codes[None, len(keys) :]
        pairs.append(same * np.outer(values, other_values))
    return np.array(pairs)


def _conditioned(
    mean: Floats, covariance: Floats, anchors: CellTable | None, n_anchors: int
) -> tuple[Floats, Floats, float]:
    """Mean and covariance of the cells after the first `n_anchors`, given these; and how likely these were."""
    if anchors is None or n_anchors == 0:
        return mean, _proper(covariance), 0.0
    seen, rest = slice(None, n_anchors), slice(n_anchors, None)
    noisy = covariance[seen, seen] + np.diag(anchors.error + JITTER)
    lower = np.linalg.cholesky(noisy)
    surprise = solve_triangular(lower, anchors.mean - mean[seen], lower=True)
    gain = solve_triangular(lower, covariance[seen, rest], lower=True)
    log_weight = -0.5 * float(surprise @ surprise) - float(np.log(np.diag(lower)).sum())
    return mean[rest] + gain.T @ surprise, _proper(covariance[rest, rest] - gain.T @ gain), log_weight


def _proper(covariance: Floats) -> Floats:
    """No variance below `LEAST_VARIANCE`, whatever rounding left."""
    covariance[np.diag_indices(len(covariance))] = np.maximum(np.diag(covariance), LEAST_VARIANCE)
    return covariance


def _fixed(one: Floats, other: Floats) -> Floats:
    """Covariance of the constant and of the effect of reasoning, both hardly bounded beforehand."""
    return CONSTANT_VARIANCE + REASONING_VARIANCE * np.outer(one, other)


def _negative_log_posterior(
    log_sd: Floats, prior: Floats, kernels: Floats, fixed: Floats, error: Floats, residual: Floats
) -> tuple[float, Floats]:
    """Value and gradient; the prior of each log standard deviation is normal about `prior`."""
    variance = np.exp(2 * log_sd)
    covariance = fixed + np.tensordot(variance, kernels, 1)
    covariance[np.diag_indices(len(residual))] += error + JITTER
    factor = cho_factor(covariance, lower=True)
    weighted = cho_solve(factor, residual)
    value = 0.5 * residual @ weighted + np.log(np.diag(factor[0])).sum()
    inverse, _ = dpotri(factor[0], lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    curvature = inverse - np.outer(weighted, weighted)
    gradient = variance * np.tensordot(kernels, curvature, 2)
    away = (log_sd - prior) / PRIOR_LOG_SD
    return float(value + 0.5 * (away**2).sum()), gradient + away / PRIOR_LOG_SD


def _laplace_draws(
    objective: Callable[[Floats], tuple[float, Floats]], mode: Floats, n_draws: int, rng: np.random.Generator
) -> Floats:
    """Draws of the log standard deviations about their mode; shape (n_draws, n_effects)."""
    steps = STEP * np.eye(len(mode))
    hessian = np.array([(objective(mode + step)[1] - objective(mode - step)[1]) / (2 * STEP) for step in steps])
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    # No direction may be wider than its prior.
    scales = 1 / np.sqrt(np.maximum(values, 1 / PRIOR_LOG_SD**2))
    return np.asarray(mode + (rng.normal(size=(n_draws, len(mode))) * scales) @ vectors.T)
