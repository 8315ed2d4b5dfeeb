"""Floors of single queries from features: shrinkage, a gamma model, and the split of an error in two.

One query's own variance is worth little (its coefficient of variation is 100 % at 3 runs), so a floor
per query is always shrunk towards what its features say. A floor that rests on a model is labelled
``model``; an error model fitted to single runs holds reducible error as well and is an ``upper_bound``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from predictors.errors import InsufficientReplicatesError, InvalidInputError
from predictors.metrics.clusters import Estimate, mean_estimate
from predictors.metrics.noise_floor import NoiseFloor

__all__ = [
    "GammaModel",
    "error_upper_bound",
    "fit_gamma_model",
    "modelled_floor",
    "shrink_variances",
    "split_error",
]

Floats = NDArray[np.float64]
MIN_REPLICATED = 30


@dataclass(frozen=True)
class GammaModel:
    """Log-linear model of a non-negative mean (gamma quasi-likelihood), with standardised features.

    Attributes
    ----------
    coefficients : ndarray of shape (1 + n_features,)
        Intercept first.
    centre, spread : ndarray of shape (n_features,)
        Standardisation.
    names : tuple of str
        Feature columns.
    bread : ndarray of shape (1 + n_features, 1 + n_features)
        Inverse of the information matrix, for intervals.
    """

    coefficients: Floats
    centre: Floats
    spread: Floats
    names: tuple[str, ...]
    bread: Floats

    def design(self, features: pd.DataFrame) -> Floats:
        """Standardised features with a column of ones, shape (n_samples, 1 + n_features)."""
        missing = sorted(set(self.names) - set(features.columns))
        if missing:
            raise InvalidInputError(f"`features` lacks the columns {missing}")
        x = features[list(self.names)].to_numpy(dtype=np.float64)
        if not np.isfinite(x).all():
            raise InvalidInputError("`features` must be finite")
        return np.column_stack([np.ones(len(x)), (x - self.centre) / self.spread])

    def predict(self, features: pd.DataFrame) -> Floats:
        """Expected value per row, shape (n_samples,), in the unit of what was fitted."""
        return np.asarray(np.exp(self.design(features) @ self.coefficients))


def fit_gamma_model(
    features: pd.DataFrame, values: ArrayLike, weights: ArrayLike | None = None, *, ridge: float = 1e-3
) -> GammaModel:
    """Fit ``log E[value] = intercept + features`` by gamma quasi-likelihood (zeros are allowed).

    Parameters
    ----------
    features : DataFrame of shape (n_samples, n_features)
        Numbers known before the run; none gives the mean.
    values : array-like of shape (n_samples,)
        Non-negative: variances, half Gini differences, squared errors.
    weights : array-like of shape (n_samples,), optional
        ``R - 1`` for variances.
    ridge : float, optional
        Penalty on the coefficients of the standardised features, relative to the weight.

    Raises
    ------
    InvalidInputError
        If values are negative or not finite, or all 0.
    """
    y = np.asarray(values, dtype=np.float64)
    w = np.ones(y.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(features) != y.size or w.size != y.size:
        raise InvalidInputError("`features`, `values` and `weights` must have the same length")
    if not (np.isfinite(y).all() and (y >= 0).all() and np.isfinite(w).all() and (w >= 0).all()):
        raise InvalidInputError("`values` and `weights` must be finite and not negative")
    if not np.sum(w * y) > 0:
        raise InvalidInputError("`values` are all 0: there is no variance to model")
    raw = features.to_numpy(dtype=np.float64).reshape(y.size, -1)
    centre, spread = raw.mean(axis=0), raw.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    names = tuple(str(column) for column in features.columns)
    model = GammaModel(np.zeros(1 + len(names)), centre, spread, names, np.eye(1 + len(names)))
    x = model.design(features)
    penalty = np.diag(np.r_[0.0, np.full(len(names), ridge * w.sum())])
    information = x.T @ (w[:, None] * x) + penalty
    beta = np.zeros(x.shape[1])
    beta[0] = np.log(np.average(y, weights=w))
    for _ in range(100):
        ratio = y * np.exp(-np.clip(x @ beta, -700, 700))
        gradient = x.T @ (w * (ratio - 1.0)) - penalty @ beta
        curvature = x.T @ ((w * (0.5 * ratio + 0.5))[:, None] * x) + penalty
        step = np.linalg.solve(curvature, gradient)
        beta = beta + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return GammaModel(beta, centre, spread, names, np.linalg.inv(information))


def modelled_floor(
    floors: ArrayLike,
    counts: ArrayLike,
    features: pd.DataFrame,
    query: ArrayLike,
) -> tuple[Estimate, Floats, GammaModel]:
    """Mean floor over all cells, where only some are replicated, from a model of the floor on features.

    Rests on the form of the model wherever repeats were not drawn at random: label it ``model``.

    Parameters
    ----------
    floors : array-like of shape (n_cells,)
        Floor of each replicated cell (`variance_per_cell`, `crps_floor_per_cell`); NaN for single runs.
    counts : array-like of int of shape (n_cells,)
        Runs of each cell.
    features : DataFrame of shape (n_cells, n_features)
    query : array-like of int of shape (n_cells,)
        Cluster of each cell, 0 .. n - 1.

    Returns
    -------
    estimate : Estimate
        Mean floor with the influence of each cluster, the fit's included.
    per_cell : ndarray of shape (n_cells,)
        The model's floor of each cell.
    model : GammaModel

    Raises
    ------
    InsufficientReplicatesError
        Below 30 replicated cells.
    """
    g, r = np.asarray(floors, dtype=np.float64), np.asarray(counts)
    clusters = np.asarray(query, dtype=np.intp)
    repeated = r >= 2
    if repeated.sum() < MIN_REPLICATED:
        raise InsufficientReplicatesError(
            f"a floor model needs {MIN_REPLICATED} replicated cells, got {int(repeated.sum())}: repeat more queries"
        )
    weights = (r - 1.0)[repeated]
    model = fit_gamma_model(features[repeated], g[repeated], weights)
    per_cell = model.predict(features)
    n_clusters = int(clusters.max()) + 1
    mean = mean_estimate(per_cell, clusters, n_clusters)
    x = model.design(features)
    score = weights * (g[repeated] / per_cell[repeated] - 1.0)
    direction = (per_cell @ x / per_cell.size) @ model.bread
    from_fit = np.bincount(clusters[repeated], weights=score * (x[repeated] @ direction), minlength=n_clusters)
    n_fit = int(np.unique(clusters[repeated]).size)
    return Estimate(mean.value, mean.influence + from_fit, min(n_fit, n_clusters)), per_cell, model


def error_upper_bound(losses: ArrayLike, features: pd.DataFrame, query: ArrayLike) -> tuple[NoiseFloor, Floats]:
    """Upper bound of the floor from single runs: the mean loss of a forecast that did not see them.

    Any forecast's expected loss is at least the floor, so out-of-sample losses bound it from above; the
    error model spreads the bound over queries.

    Parameters
    ----------
    losses : array-like of shape (n_cells,)
        Out-of-sample loss of each cell, non-negative.
    features : DataFrame of shape (n_cells, n_features)
    query : array-like of int of shape (n_cells,)
        Cluster of each cell, 0 .. n - 1.

    Returns
    -------
    floor : NoiseFloor
        `value` is the bound, its interval runs from 0 to the upper end of the bound's interval,
        `method` starts with ``upper_bound``. An excess above it means nothing.
    per_cell : ndarray of shape (n_cells,)
        The error model's expected loss.
    """
    loss, clusters = np.asarray(losses, dtype=np.float64), np.asarray(query, dtype=np.intp)
    per_cell = fit_gamma_model(features, loss).predict(features)
    bound = mean_estimate(loss, clusters, int(clusters.max()) + 1)
    _, upper = bound.interval()
    method = "upper_bound: expected loss of single runs"
    return NoiseFloor(bound.value, 0.0, upper, bound.n_clusters, loss.size, method, 0.0, bound.value), per_cell


def shrink_variances(variances: ArrayLike, counts: ArrayLike, prior: ArrayLike | None = None) -> Floats:
    """Empirical-Bayes variance per cell: ``(d0 prior + (R - 1) s^2) / (d0 + R - 1)``.

    Parameters
    ----------
    variances : array-like of shape (n_cells,)
        Own variances (ddof 1), in the squared unit of the target; NaN for single runs.
    counts : array-like of int of shape (n_cells,)
    prior : array-like of shape (n_cells,), optional
        What features say (`modelled_floor`); by default one common value, estimated.

    Returns
    -------
    ndarray of shape (n_cells,)
        The prior for single runs.

    Raises
    ------
    InsufficientReplicatesError
        With fewer than 3 cells of positive variance.

    References
    ----------
    Smyth (2004), Linear models and empirical Bayes methods, section 6 (moments of log s^2).
    """
    s2, r = np.asarray(variances, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    base = np.ones(s2.size) if prior is None else np.asarray(prior, dtype=np.float64)
    use = (r >= 2) & (s2 > 0)
    if use.sum() < 3:
        raise InsufficientReplicatesError(f"shrinkage needs 3 cells of positive variance, got {int(use.sum())}")
    half = (r[use] - 1) / 2
    z = np.log(s2[use] / base[use]) - special.digamma(half) + np.log(half)
    excess = float(z.var(ddof=1) - special.polygamma(1, half).mean())
    d0 = 2 * _inverse_trigamma(excess) if excess > 0 else float("inf")
    level = np.exp(z.mean() + (special.digamma(d0 / 2) - np.log(d0 / 2) if np.isfinite(d0) else 0.0))
    target = base * level
    if not np.isfinite(d0):
        return np.asarray(target)
    own = np.where(r >= 2, s2, 0.0)
    return np.asarray((d0 * target + (r - 1) * own) / (d0 + r - 1))


def split_error(expected_error: ArrayLike, floor: ArrayLike, floor_source: str) -> pd.DataFrame:
    """Split each forecast's expected squared error into what more knowledge could remove and what not.

    Parameters
    ----------
    expected_error : array-like of shape (n_cells,)
        Error model of out-of-sample losses (`fit_gamma_model`).
    floor : array-like of shape (n_cells,)
        Floor per cell, shrunk or modelled, of the same loss.
    floor_source : str
        ``repeats``, ``ipw`` or ``model``; anything else does not identify the floor.

    Returns
    -------
    DataFrame of shape (n_cells, 2)
        `aleatoric` (the floor) and `epistemic` (the rest, not clipped: clip for display only). NaN where
        the floor is not identified.

    References
    ----------
    Lahlou et al. (2023), DEUP: Direct epistemic uncertainty prediction.
    """
    error, noise = np.asarray(expected_error, dtype=np.float64), np.asarray(floor, dtype=np.float64)
    if error.shape != noise.shape:
        raise InvalidInputError(f"`expected_error` and `floor` must match, got {error.shape} and {noise.shape}")
    if floor_source not in ("repeats", "ipw", "model"):
        error, noise = np.full_like(error, np.nan), np.full_like(noise, np.nan)
    return pd.DataFrame({"aleatoric": noise, "epistemic": error - noise})


def _inverse_trigamma(x: float) -> float:
    """Solve ``trigamma(y) = x`` by Newton steps on 1 / trigamma."""
    y = 0.5 + 1.0 / x
    for _ in range(50):
        trigamma = float(special.polygamma(1, y))
        step = trigamma * (1 - trigamma / x) / float(special.polygamma(2, y))
        y += step
        if abs(step) < 1e-10 * y:
            break
    return y
