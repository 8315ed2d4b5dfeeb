"""What the runs of a query on some models say about its next run on any model: a Gaussian copula.

Residuals of log tokens (after location) become normal scores through the residual distribution of their
cell. Scores of one query are jointly normal: a covariance between configurations (model and effort) of what
the query itself does, per benchmark and pooled, plus noise of the single run on the diagonal. Conditioning
on the runs that are known gives the score of the next run a mean and a standard deviation, which tilt its
cell's quantile function. No known run: mean 0, standard deviation 1, the cold forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from ..heads.distribution import GRID

Floats = NDArray[np.float64]
MAX_SCORE = 3.0
DEFAULT_NOISE = 0.25
POOLING = 20.0
NOISE_POOLING = 30.0


@dataclass(frozen=True)
class ContextRuns:
    """Known runs of the queries of n forecasts, in one flat table.

    Attributes
    ----------
    target : ndarray of int of shape (n_runs,)
        Position of the forecast that the run informs.
    config : ndarray of object of shape (n_runs,)
        Model and effort of the run, as `hierarchy.cell_keys` joins them.
    residual, score : ndarrays of shape (n_runs,)
        Log tokens minus location, and its normal score.
    is_pilot : ndarray of bool of shape (n_runs,)
        True where model and effort are those of the forecast.
    details : ndarray of shape (n_runs, 3)
        What the run tells beside its length (`details.DetailCentres.centred`), NaN where unknown.
    """

    target: NDArray[np.intp]
    config: NDArray[np.object_]
    residual: Floats
    score: Floats
    is_pilot: NDArray[np.bool_]
    details: Floats

    def select(self, keep: NDArray[np.bool_]) -> ContextRuns:
        """The runs where `keep`."""
        return ContextRuns(*(values[keep] for values in vars(self).values()))


def normal_scores(residual: Floats, is_censored: NDArray[np.bool_], codes: NDArray[np.intp], curves: Floats) -> Floats:
    """Normal score of each residual within its cell's curve (at `GRID`); shape (n_samples,).

    A lower bound has the expected score of what exceeds it. Scores are cut at ±3: beyond, a residual
    says "far out" and no more.
    """
    level = np.empty(len(residual))
    for code, curve in enumerate(curves):
        rows = codes == code
        level[rows] = np.interp(residual[rows], curve + 1e-12 * np.arange(len(GRID)), GRID)
    score = ndtri(level)
    density = np.exp(-(score**2) / 2) / np.sqrt(2 * np.pi)
    score = np.where(is_censored, density / (1 - level), score)
    return np.asarray(np.clip(score, -MAX_SCORE, MAX_SCORE))


class QueryCopula:
    """Covariance of normal scores between configurations, per benchmark, and noise of a single run."""

    def fit(
        self,
        configs: NDArray[np.object_],
        benchmarks: NDArray[np.object_],
        queries: NDArray[np.object_],
        scores: Floats,
    ) -> Self:
        """Estimate from one row per run; arrays of shape (n_samples,)."""
        runs = pd.DataFrame({"config": configs, "benchmark": benchmarks, "query": queries, "score": scores})
        cells = runs.groupby(["benchmark", "query", "config"], sort=True)["score"].agg(["mean", "size", "var"])
        self.configs_ = [str(c) for c in sorted(set(configs))]
        self.noise_ = self._noise(cells)
        wide = cells.reset_index().pivot_table(index=["benchmark", "query"], columns="config", values="mean")
        wide = wide.reindex(columns=self.configs_)
        values, present = wide.fillna(0.0).to_numpy(), wide.notna().to_numpy(dtype=np.float64)
        blocks = wide.index.get_level_values("benchmark").to_numpy()
        total, n = values.T @ values, present.T @ present
        off = ~np.eye(len(self.configs_), dtype=bool)
        self.common_ = float(total[off].sum() / max(n[off].sum(), 1.0)) if off.any() else 0.0
        pooled = (total + POOLING * self.common_) / (n + POOLING)
        self.covariances_ = {"": self._proper(pooled)}
        for benchmark in np.unique(blocks):
            rows = blocks == benchmark
            products, n_pairs = values[rows].T @ values[rows], present[rows].T @ present[rows]
            self.covariances_[str(benchmark)] = self._proper((products + POOLING * pooled) / (n_pairs + POOLING))
        return self

    def _noise(self, cells: pd.DataFrame) -> Floats:
        """Variance of a run's score around its query's, per configuration, pooled; shape (n_configs,)."""
        repeated = cells[cells["size"] > 1]
        freedom = (repeated["size"] - 1).groupby(level="config").sum().reindex(self.configs_).fillna(0).to_numpy()
        squares = ((repeated["size"] - 1) * repeated["var"]).groupby(level="config").sum()
        sums = squares.reindex(self.configs_).fillna(0).to_numpy()
        prior = (sums.sum() + NOISE_POOLING * DEFAULT_NOISE) / (freedom.sum() + NOISE_POOLING)
        return np.asarray(np.clip((sums + NOISE_POOLING * prior) / (freedom + NOISE_POOLING), 0.01, 0.95))

    def noise_of(self, configs: NDArray[np.object_]) -> Floats:
        """Share of a single run's variance that is noise, one per configuration (n,); the mean where unknown."""
        noise_by_config = dict(zip(self.configs_, self.noise_.tolist(), strict=True))
        usual = float(np.mean(self.noise_)) if len(self.noise_) else DEFAULT_NOISE
        return np.array([noise_by_config.get(str(config), usual) for config in configs], dtype=np.float64)

    def _proper(self, covariance: Floats) -> Floats:
        """Nearest usable covariance: signal variance 1 - noise on the diagonal, no negative eigenvalue."""
        signal = np.sqrt(1 - self.noise_)
        covariance = covariance.copy()
        np.fill_diagonal(covariance, signal**2)
        bound = 0.98 * np.outer(signal, signal)
        limited = np.where(np.eye(len(signal), dtype=bool), covariance, np.clip(covariance, -bound, bound))
        values, vectors = np.linalg.eigh(limited)
        fixed = (vectors * np.maximum(values, 1e-3)) @ vectors.T
        scale = signal / np.sqrt(np.diag(fixed))
        return np.asarray(fixed * np.outer(scale, scale))

    def condition(
        self, configs: NDArray[np.object_], benchmarks: NDArray[np.object_], context: ContextRuns
    ) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the score of each forecast's next run.

        Parameters
        ----------
        configs, benchmarks : ndarrays of object of shape (n_samples,)
            Configuration and benchmark of each forecast. An unknown configuration has the average
            covariance with the others; an unknown benchmark the pooled covariance.
        context : ContextRuns
            What is known; runs on unknown configurations say nothing, unless they are pilots.

        Returns
        -------
        mean, standard_deviation : ndarrays of shape (n_samples,)
        """
        mean, deviation = np.zeros(len(configs)), np.ones(len(configs))
        asked_codes, asked = pd.factorize(configs)
        places, names = pd.factorize(benchmarks)
        context_codes, context_configs = pd.factorize(context.config)
        position = self._positions(context_configs)[context_codes] if len(context_codes) else context_codes
        usable = np.flatnonzero((position >= 0) | context.is_pilot)
        order = usable[np.lexsort((usable, position[usable], context.target[usable]))]
        targets, starts, sizes = np.unique(context.target[order], return_index=True, return_counts=True)
        for size in np.unique(sizes):
            runs = order[starts[sizes == size][:, None] + np.arange(size)]
            where = targets[sizes == size]
            keys = np.column_stack([self._positions(asked)[asked_codes[where]], places[where], position[runs]])
            for rows in _equal_rows(keys):
                config, place, *codes = keys[rows[0]].tolist()
                weights, variance = self._weights(config, str(names[place]), np.array(codes, dtype=np.intp))
                mean[where[rows]] = context.score[runs[rows]] @ weights
                deviation[where[rows]] = np.sqrt(variance)
        return mean, deviation

    def _positions(self, configs: NDArray[np.object_]) -> NDArray[np.intp]:
        """Position of each configuration, -1 where it is unknown."""
        position_by_config = {config: i for i, config in enumerate(self.configs_)}
        return np.array([position_by_config.get(str(config), -1) for config in configs], dtype=np.intp)

    def _extended(self, covariance: Floats) -> Floats:
        """`covariance` with a last configuration that follows the others as they do on average."""
        n = len(covariance)
        others = covariance.sum(axis=1) - np.diag(covariance)
        extended = np.empty((n + 1, n + 1))
        extended[:n, :n] = covariance
        extended[n, :n] = extended[:n, n] = others / (n - 1) if n > 1 else self.common_
        extended[n, n] = 1 - float(np.mean(self.noise_))
        return extended

    def _weights(self, config: int, benchmark: str, codes: NDArray[np.intp]) -> tuple[Floats, float]:
        n = len(self.configs_)
        extended = self._extended(self.covariances_.get(benchmark, self.covariances_[""]))
        noise = np.append(self.noise_, float(np.mean(self.noise_)))
        codes = np.where(codes < 0, n, codes)
        config = n if config < 0 else config
        among = extended[np.ix_(codes, codes)] + np.diag(noise[codes]) + 1e-6 * np.eye(len(codes))
        towards = extended[config, codes]
        weights = np.linalg.solve(among, towards)
        return weights, float(np.clip(1.0 - towards @ weights, 0.02, 1.0))

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores the copula."""
        names = list(self.covariances_)
        arrays = {"noise": self.noise_, "covariances": np.array([self.covariances_[name] for name in names])}
        return {"configs": self.configs_, "benchmarks": names, "common": self.common_}, arrays

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        copula = cls()
        copula.configs_ = list(state["configs"])
        copula.common_ = state["common"]
        copula.noise_ = arrays["noise"]
        copula.covariances_ = dict(zip(state["benchmarks"], arrays["covariances"], strict=True))
        return copula


def _equal_rows(keys: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Positions of the rows that are equal, ascending, for each distinct row of `keys`."""
    _, codes = np.unique(keys, axis=0, return_inverse=True)
    codes = codes.ravel()
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
