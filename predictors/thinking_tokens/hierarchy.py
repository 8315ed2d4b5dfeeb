"""Partial pooling over model, benchmark and effort: intercepts and text slopes at every level.

The location of log tokens is a sum of random effects, one per level of the hierarchy and each shrunk to
zero by a penalty, so that a cell with many runs speaks for itself and an unseen one gets what its model,
its benchmark and its effort say. Fitted by backfitting, which converges to the joint ridge solution
(Gelman & Hill 2007, Data Analysis Using Regression and Multilevel Models, ch. 12 for the model).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["CATEGORIES", "HIERARCHY", "PooledLocation", "cell_keys", "cells_of", "text_share"]

CATEGORIES: tuple[str, ...] = ("model", "benchmark", "reasoning_effort")
"""Categorical columns of `Requests`; null is a category of its own."""

HIERARCHY: tuple[tuple[str, ...], ...] = (
    ("benchmark",),
    ("reasoning_effort",),
    ("model",),
    ("model", "reasoning_effort"),
    ("model", "benchmark"),
    ("model", "benchmark", "reasoning_effort"),
)
"""Levels of the hierarchy below the whole, from coarse to fine."""

WHOLE_EFFECT = 0.7
SWEEPS = 20
SEPARATOR = "\x1f"


def cell_keys(X: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.object_]:
    """One key per row from `columns`; a null or absent category is the empty string."""
    parts = [
        X[name].to_numpy(dtype=object, na_value="") if name in X else np.full(len(X), "", dtype=object)
        for name in columns
    ]
    if not parts:
        return np.full(len(X), "", dtype=object)
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + SEPARATOR + part
    return np.asarray(joined, dtype=object)


def cells_of(X: pd.DataFrame) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """Cell of each row, shape (n_samples,), and the categories of every cell in the order of the codes."""
    codes, _ = pd.factorize(cell_keys(X, CATEGORIES))
    first = np.unique(codes, return_index=True)[1]
    return np.asarray(codes, dtype=np.intp), X[[name for name in CATEGORIES if name in X]].iloc[first]


def _codes(keys: NDArray[np.object_], known: dict[str, int]) -> NDArray[np.intp]:
    """Position of each key, -1 where it is unknown."""
    codes, distinct = pd.factorize(keys)
    positions = np.array([known.get(key, -1) for key in distinct], dtype=np.intp)
    return positions[codes] if len(keys) else np.empty(0, dtype=np.intp)


def text_share(residual: NDArray[np.float64], text: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Share of the out-of-fold text effect to keep, in [0, 1]: its regression through 0 over `WHOLE_EFFECT`.

    Texts that the axes were learnt from lie further out on them than new ones, so that the regression falls short of 1
    where there is nothing to take back (.73 to .77 on pricing-reversal, where new queries bear out .75 to .94).
    """
    square = float((weight * text**2).sum())
    borne_out = float((weight * residual * text).sum()) / square if square > 0 else 1.0
    return float(np.clip(borne_out / WHOLE_EFFECT, 0.0, 1.0))


class PooledLocation:
    """Location of log tokens: pooled intercepts plus pooled slopes on the text embedding.

    Parameters
    ----------
    intercept_penalty : float
        Rows' worth of evidence for a zero effect, per intercept.
    slope_penalty : float
        Ridge penalty of the slopes at the whole, benchmark and effort; doubled below.
    min_rows : int
        A group with fewer rows gets no slopes of its own.
    n_sweeps : int
        Backfitting sweeps over the slopes.
    """

    def __init__(
        self,
        *,
        intercept_penalty: float = 2.0,
        slope_penalty: float = 8.0,
        min_rows: int = 20,
        n_sweeps: int = 2,
    ) -> None:
        self.intercept_penalty = intercept_penalty
        self.slope_penalty = slope_penalty
        self.min_rows = min_rows
        self.n_sweeps = n_sweeps

    def prepare(self, X: pd.DataFrame, features: NDArray[np.float64], weight: NDArray[np.float64]) -> Self:
        """Fix the design: which groups exist at each level, and the factorised slope equations."""
        self._weight = weight
        self._features = features
        self._find_groups(X)
        self._factorise()
        return self

    def _find_groups(self, X: pd.DataFrame) -> None:
        self.levels_: list[tuple[str, ...]] = []
        self.groups_: list[dict[str, int]] = []
        self._codes_by_level: list[NDArray[np.intp]] = []
        seen = {np.zeros(len(X), dtype=np.intp).tobytes()}
        for level in HIERARCHY:
            codes, distinct = pd.factorize(cell_keys(X, level))
            if codes.tobytes() in seen:  # the same groups as a coarser level
                continue
            seen.add(codes.tobytes())
            self.levels_.append(level)
            self.groups_.append({str(key): i for i, key in enumerate(distinct)})
            self._codes_by_level.append(codes)

    def _factorise(self) -> None:
        from scipy.linalg import cho_factor

        whole = np.zeros(len(self._weight), dtype=np.intp)
        designs = [(0, whole, 1.0), *((i + 1, c, self._ratio(i)) for i, c in enumerate(self._codes_by_level))]
        identity = np.eye(self._features.shape[1])
        self._equations: list[tuple[int, int, NDArray[np.intp], NDArray[np.float64], Any]] = []
        for level, codes, ratio in designs:
            order = np.argsort(codes, kind="stable")
            bounds = np.searchsorted(codes[order], np.arange(codes.max(initial=-1) + 2))
            for group in range(len(bounds) - 1):
                rows = order[bounds[group] : bounds[group + 1]]
                if len(rows) < self.min_rows:
                    continue
                design = self._features[rows]
                gram = (design * self._weight[rows, None]).T @ design
                self._equations.append(
                    (level, group, rows, design, cho_factor(gram + ratio * self.slope_penalty * identity))
                )

    def _ratio(self, level: int) -> float:
        return 2.0 if "model" in self.levels_[level] else 1.0

    def fit_intercepts(self, z: NDArray[np.float64], *, n_sweeps: int = SWEEPS) -> NDArray[np.float64]:
        """Fit the intercepts to `z` and return them row by row."""
        weight = self._weight
        self.mean_ = float(np.average(z, weights=weight))
        self.intercepts_ = [np.zeros(len(groups)) for groups in self.groups_]
        sizes = [np.bincount(c, weight, len(g)) for c, g in zip(self._codes_by_level, self.groups_, strict=True)]
        residual = z - self.mean_
        self.sizes_: list[NDArray[np.float64]] = [size.astype(np.float64) for size in sizes]
        for _ in range(n_sweeps):
            for level, codes in enumerate(self._codes_by_level):
                residual = residual + self.intercepts_[level][codes]
                sums = np.bincount(codes, weight * residual, len(self.groups_[level]))
                self.intercepts_[level] = sums / (sizes[level] + self.intercept_penalty)
                residual = residual - self.intercepts_[level][codes]
        self.residual_variance_ = float(np.average(residual**2, weights=weight))
        return np.asarray(z - residual)

    def fit(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fit intercepts, then slopes, to `z` and return the fitted location row by row."""
        from scipy.linalg import cho_solve

        base = self.fit_intercepts(z)
        residual = z - base
        n_features = self._features.shape[1]
        self.slopes_ = [np.zeros((1, n_features)), *(np.zeros((len(g), n_features)) for g in self.groups_)]
        for _ in range(self.n_sweeps if n_features else 0):
            for level, group, rows, design, factor in self._equations:
                part = residual[rows] + design @ self.slopes_[level][group]
                slope = cho_solve(factor, design.T @ (self._weight[rows] * part))
                self.slopes_[level][group] = slope
                residual[rows] = part - design @ slope
        return np.asarray(z - residual)

    def intercept(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Sum of the intercepts of each row; shape (n_samples,). Unknown groups add nothing."""
        cells, frame = cells_of(X)
        total = np.full(len(frame), self.mean_)
        for level, groups, effects in zip(self.levels_, self.groups_, self.intercepts_, strict=True):
            total += np.append(effects, 0.0)[_codes(cell_keys(frame, level), groups)]
        return np.asarray(total[cells])

    def text_effect(self, X: pd.DataFrame, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the text adds to the intercept of each row; shape (n_samples,)."""
        total = features @ self.slopes_[0][0]
        for level, groups, slopes in zip(self.levels_, self.groups_, self.slopes_[1:], strict=True):
            codes = _codes(cell_keys(X, level), groups)
            for code in np.unique(codes[codes >= 0]):
                rows = codes == code
                total[rows] += features[rows] @ slopes[code]
        return np.asarray(total)

    def shared_deviation(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Standard deviation of what the intercept of each row may be off, alike for all requests of its cell.

        Posterior deviation of the intercepts, level by level: with n runs the effect of a group has variance
        1 / (1 / between + n / within), and an unknown group the whole variance between groups.

        Returns
        -------
        ndarray of shape (n_samples,), in log tokens
        """
        variance = np.zeros(len(X))
        for level, groups, effects, sizes in zip(
            self.levels_, self.groups_, self.intercepts_, self.sizes_, strict=True
        ):
            if level != self.levels_[-1] and len(level) > 1:
                continue  # what the single factors leave open is counted once, at the cell
            between = max(float(np.var(effects)), 1e-4)
            n = np.append(sizes, 0.0)[_codes(cell_keys(X, level), groups)]
            variance += 1.0 / (1.0 / between + n / max(self.residual_variance_, 1e-6))
        return np.asarray(np.sqrt(variance))

    def slopes_of(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Sum of the slopes that apply to each row; shape (n_samples, n_features)."""
        total = np.repeat(self.slopes_[0], len(X), axis=0)
        for level, groups, slopes in zip(self.levels_, self.groups_, self.slopes_[1:], strict=True):
            codes = _codes(cell_keys(X, level), groups)
            total[codes >= 0] += slopes[codes[codes >= 0]]
        return np.asarray(total)

    def scale_slopes(self, share: float) -> None:
        """Keep `share` of every slope, in place."""
        self.slopes_ = [slopes * share for slopes in self.slopes_]

    def release(self) -> Self:
        """Drop the training design."""
        for name in ("_weight", "_features", "_codes_by_level", "_equations"):
            vars(self).pop(name, None)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
        """JSON and arrays from which `from_state` restores the fitted effects."""
        arrays: dict[str, NDArray[Any]] = {f"intercepts.{i}": effects for i, effects in enumerate(self.intercepts_)}
        arrays |= {f"sizes.{i}": sizes for i, sizes in enumerate(self.sizes_)}
        arrays |= {f"slopes.{i}": slopes for i, slopes in enumerate(self.slopes_)}
        return {
            "mean": self.mean_,
            "residual_variance": self.residual_variance_,
            "levels": self.levels_,
            "groups": [list(g) for g in self.groups_],
        }, arrays

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, NDArray[np.float64]]) -> Self:
        """Restore what `state` returned."""
        location = cls()
        location.mean_, location.residual_variance_ = state["mean"], state["residual_variance"]
        location.levels_ = [tuple(level) for level in state["levels"]]
        location.groups_ = [{key: i for i, key in enumerate(keys)} for keys in state["groups"]]
        location.intercepts_ = [arrays[f"intercepts.{i}"] for i in range(len(location.levels_))]
        location.sizes_ = [arrays[f"sizes.{i}"] for i in range(len(location.levels_))]
        location.slopes_ = [arrays[f"slopes.{i}"] for i in range(len(location.levels_) + 1)]
        return location
