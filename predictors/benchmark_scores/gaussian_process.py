"""A Gaussian process over descriptions: what similar benchmarks scored, weighed by several kinds of similarity.

The kernel is a sum of cosines of blocks (answer format, metric, languages, domains, words, details), of
their products with the answer format, and of smooth functions of the number of classes. Its weights
maximise the marginal likelihood. Benchmarks of one leak group share an error of their own, so that fifty
forums of one collection do not count fifty times (Rasmussen & Williams 2006, sections 2.2 and 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.benchmark_scores.features import BenchmarkFeatures, chance_level

__all__ = ["DescriptionProcess"]

Floats = NDArray[np.float64]
LEVEL = 25.0
"""Prior variance of the common level, in variances of the target: wide, so that the data set it."""
LENGTH_CLASSES, LENGTH_LANGUAGES = 0.7, 1.0
MOST_SEARCHED = 400
"""Benchmarks, evenly spaced, on which the kernel weights are searched; all are conditioned on."""
SPARSITY = 5.0
"""Penalty on the sum of the weights: kinds of similarity that do not help fade."""


@dataclass
class DescriptionProcess:
    """Forecasts benchmark effects, with standard deviations, from descriptions.

    Parameters
    ----------
    features : BenchmarkFeatures
        Fitted.
    iterations : int
        Steps of the search for kernel weights.
    """

    features: BenchmarkFeatures
    iterations: int = 25
    weights: Floats = field(default_factory=lambda: np.empty(0))
    noise: Floats = field(default_factory=lambda: np.empty(0))
    centre: float = 0.0
    spread: float = 1.0
    inputs: dict[str, Floats] = field(default_factory=dict)
    dual: Floats = field(default_factory=lambda: np.empty(0))
    factor: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def fit(self, benchmarks: pd.DataFrame, effects: Floats, groups: NDArray[np.intp], *, learn: bool = True) -> Self:
        """Learn from the effects of `benchmarks`; `learn=False` keeps kernel weights and only conditions anew."""
        self.inputs = self._inputs(benchmarks)
        self.centre, self.spread = float(effects.mean()), float(max(effects.std(), 1e-3))
        target = (effects - self.centre) / self.spread
        parts = [*self._kernels(self.inputs), (groups[:, None] == groups).astype(np.float64), np.eye(len(target))]
        if learn or not self.weights.size:
            some = np.linspace(0, len(target) - 1, min(len(target), MOST_SEARCHED)).round().astype(np.intp)
            found = _maximise_likelihood([part[np.ix_(some, some)] for part in parts], target[some], self.iterations)
            self.weights, self.noise = found[:-2], found[-2:]
        total = _weighted(np.concatenate([self.weights, self.noise]), parts) + LEVEL
        self.factor = np.asarray(np.linalg.cholesky(total), dtype=np.float64)
        self.dual = np.linalg.solve(self.factor.T, np.linalg.solve(self.factor, target))
        return self

    def predict(self, benchmarks: pd.DataFrame) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each benchmark's effect; the deviation includes its group's and its own."""
        inputs = self._inputs(benchmarks)
        cross = _weighted(self.weights, self._kernels(inputs, self.inputs)) + LEVEL
        own = _weighted(self.weights, self._kernels_diagonal(inputs)) + LEVEL + self.noise.sum()
        half = self._halved(cross)
        variance = np.maximum(own - (half**2).sum(axis=0), 1e-6)
        return self.centre + self.spread * (cross @ self.dual), self.spread * np.sqrt(variance)

    def covariance(self, benchmarks: pd.DataFrame, groups: NDArray[np.intp]) -> Floats:
        """Covariance of the effects of `benchmarks` given the training data, shape (n_benchmarks, n_benchmarks)."""
        inputs = self._inputs(benchmarks)
        cross = _weighted(self.weights, self._kernels(inputs, self.inputs)) + LEVEL
        own = _weighted(self.weights, self._kernels(inputs)) + LEVEL
        own += self.noise[0] * (groups[:, None] == groups) + self.noise[1] * np.eye(len(benchmarks))
        half = self._halved(cross)
        return np.asarray(self.spread**2 * (own - half.T @ half))

    def _halved(self, cross: Floats) -> Floats:
        """Columns whose inner products are what the training data explain of a covariance."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.factor, cross.T, lower=True, check_finite=False))

    def _inputs(self, benchmarks: pd.DataFrame) -> dict[str, Floats]:
        classes = np.log(benchmarks["n_classes"].fillna(0.5).to_numpy(dtype=np.float64))
        languages = np.log1p(benchmarks["languages"].str.count(r"\|").to_numpy(dtype=np.float64))
        numbers = np.column_stack([classes / LENGTH_CLASSES, languages / LENGTH_LANGUAGES, chance_level(benchmarks)])
        return {**self.features.blocks(benchmarks), "numbers": numbers}

    @staticmethod
    def _kernels(left: dict[str, Floats], right: dict[str, Floats] | None = None) -> list[Floats]:
        right = left if right is None else right
        cosine = {name: left[name] @ right[name].T for name in left if name != "numbers"}
        a, b = left["numbers"], right["numbers"]
        classes, languages = (np.exp(-0.5 * (a[:, [i]] - b[:, i]) ** 2) for i in (0, 1))
        return _combine(cosine, classes, languages, a[:, [2]] * b[:, 2])

    @staticmethod
    def _kernels_diagonal(inputs: dict[str, Floats]) -> list[Floats]:
        cosine = {name: (block**2).sum(axis=1) for name, block in inputs.items() if name != "numbers"}
        ones = np.ones(len(inputs["numbers"]))
        return _combine(cosine, ones, ones, inputs["numbers"][:, 2] ** 2)

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON state and arrays, for `from_state`."""
        arrays = {"weights": self.weights, "noise": self.noise, "dual": self.dual, "factor": self.factor}
        arrays |= {f"input.{name}": values for name, values in self.inputs.items()}
        return {"centre": self.centre, "spread": self.spread, "iterations": self.iterations}, arrays

    @classmethod
    def from_state(cls, features: BenchmarkFeatures, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Rebuild what `state` wrote."""
        named = {name: arrays[name] for name in ("weights", "noise", "dual", "factor")}
        inputs = {name[6:]: values for name, values in arrays.items() if name.startswith("input.")}
        return cls(features, inputs=inputs, **{**state, **named})


def _combine(cosine: dict[str, Floats], classes: Floats, languages: Floats, chance: Floats) -> list[Floats]:
    same = cosine["format"]
    every = same * cosine["metric"] * classes * (0.3 + cosine["language"]) * (0.3 + cosine["domain"])
    products = [same * cosine[name] for name in ("language", "word", "domain", "detail", "sentence") if name in cosine]
    return [*cosine.values(), *products, same * classes, classes, languages, 4 * chance, every]


def _weighted(weights: Floats, parts: list[Floats]) -> Floats:
    total = np.zeros_like(parts[0])
    for weight, part in zip(weights, parts, strict=True):
        if weight > 1e-6:
            total += weight * part
    return total


def _maximise_likelihood(parts: list[Floats], target: Floats, iterations: int) -> Floats:
    """Weights of the parts, the last two of which are noise, by L-BFGS on their logarithms."""
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    n = len(target)

    def loss(logs: Floats) -> tuple[float, Floats]:
        weights = np.exp(logs)
        total = _weighted(weights, parts) + LEVEL
        factor = cho_factor(total, lower=True)
        dual = cho_solve(factor, target)
        inverse = cho_solve(factor, np.eye(n))
        inverse -= np.outer(dual, dual)
        value = 0.5 * target @ dual + np.log(np.diag(factor[0])).sum() + SPARSITY * weights[:-2].sum()
        gradient = 0.5 * np.array([np.vdot(inverse, part) for part in parts]) * weights
        gradient[:-2] += SPARSITY * weights[:-2]
        return float(value), gradient

    start = np.full(len(parts), np.log(0.1))
    start[-2:] = np.log(0.5)
    bounds = [(-9.0, 3.0)] * (len(parts) - 2) + [(-5.0, 3.0)] * 2
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
    return np.asarray(np.exp(found.x))
