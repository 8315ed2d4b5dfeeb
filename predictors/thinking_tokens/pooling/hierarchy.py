"""Partial pooling over model, benchmark and effort: intercepts and text slopes at every level.

The location of log tokens is a sum of random effects, one per level of the hierarchy and each shrunk to
zero by a penalty, so that a cell with many runs speaks for itself and an unseen one gets what its model,
its benchmark and its effort say. Fitted by backfitting, which converges to the joint ridge solution
(Gelman & Hill 2007, Data Analysis Using Regression and Multilevel Models, ch. 12 for the model).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, names_of
from .cells import CellSums, RowFeatures, row_groups, row_products, sums_of

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
SWEEPS, SLOPE_SWEEPS = 20, 2
"""Of the backfitting: over intercepts, over slopes."""
MIN_ROWS = 20
"""A group with fewer rows gets no slopes of its own."""
SEPARATOR = "\x1f"
ROWS_KEYED_APART = 1_000
"""Keys of so many rows are joined row by row: for fewer that is quicker."""


def cell_keys(X: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.object_]:
    """One key per row from `columns`, shape (n_samples,); a null or absent category is the empty string.

    Of many rows the key of a group is made once, and all its rows hold that string.
    """
    if len(X) <= ROWS_KEYED_APART:
        return _joined(X, columns)
    codes, groups = groups_of(X, columns)
    return _joined(groups, columns)[codes]


def groups_of(X: pd.DataFrame, columns: Sequence[str]) -> tuple[Codes, pd.DataFrame]:
    """Rows of one key have one code, shape (n_samples,); and the columns of a row of each, in the order of the codes.

    Codes are in the order in which keys appear.
    """
    kept = [name for name in columns if name in X]
    is_short = len(X) <= ROWS_KEYED_APART
    codes = pd.factorize(_joined(X, columns))[0] if is_short else np.zeros(len(X), dtype=np.intp)
    for name in [] if is_short else kept:
        of_column, distinct = pd.factorize(X[name].fillna("") if X[name].dtype == "str" else _joined(X, [name]))
        codes = pd.factorize(codes * len(distinct) + of_column)[0]
    first = np.unique(codes, return_index=True)[1]
    groups = pd.DataFrame({name: X[name].iloc[first] for name in kept}, index=X.index[first])  # X[kept] takes longer
    return codes.astype(np.intp), groups


def _joined(X: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.object_]:
    parts = [names_of(X, name) for name in columns]
    return reduce(lambda keys, part: keys + SEPARATOR + part, parts) if parts else np.full(len(X), "", dtype=object)


def _codes(keys: NDArray[np.object_], code_by_key: dict[str, int]) -> Codes:
    """Position of each key, -1 where it is unknown."""
    codes, distinct = pd.factorize(keys)
    positions = np.array([code_by_key.get(key, -1) for key in distinct], dtype=np.intp)
    return positions[codes] if len(keys) else np.empty(0, dtype=np.intp)


def text_share(residual: Floats, text: Floats, weight: Floats) -> float:
    """Share of the out-of-fold text effect to keep, in [0, 1]: its regression through 0 over `WHOLE_EFFECT`.

    Texts that the axes were learnt from lie further out on them than new ones, so that the regression falls short of 1
    where there is nothing to take back (.73 to .77 on pricing-reversal, where new queries bear out .75 to .94).
    """
    square = float((weight * text**2).sum())
    borne_out = float((weight * residual * text).sum()) / square if square > 0 else 1.0
    return float(np.clip(borne_out / WHOLE_EFFECT, 0.0, 1.0))


@dataclass(kw_only=True, eq=False, repr=False)
class PooledLocation:
    """Location of log tokens: pooled intercepts plus pooled slopes on the text embedding.

    `intercept_penalty` is in rows' worth of evidence for a zero effect, per intercept; `slope_penalty` is the ridge
    penalty of the slopes at the whole, benchmark and effort, doubled below.
    """

    intercept_penalty: float = 2.0
    slope_penalty: float = 8.0

    def prepare(self, X: pd.DataFrame, features: RowFeatures, weight: Floats) -> Self:
        """Fix the design of n rows: which groups exist at each level, and the factorised slope equations."""
        self._features, self._weight = features, weight
        self._cells, frame = groups_of(X, CATEGORIES)
        return self._prepare_cells(frame, CellSums.of_rows(self._cells, len(frame), features, weight))

    def fit_cells(self, frame: pd.DataFrame, sums: CellSums) -> Self:
        """Fit to sums over the rows of each cell of `frame`; cells without rows are left out."""
        filled = np.flatnonzero(sums.n_rows)
        sums = sums.select(filled)
        self._prepare_cells(frame.iloc[filled], sums)
        self._fit_slopes(sums, self._intercepts_of_cells(sums.target, SWEEPS))
        return self

    def _prepare_cells(self, frame: pd.DataFrame, sums: CellSums) -> Self:
        from scipy.linalg import cho_factor

        self._sums = sums
        self.levels_: list[tuple[str, ...]] = []
        self.groups_: list[dict[str, int]] = []
        self._codes_by_level: list[Codes] = []
        whole = np.zeros(len(frame), dtype=np.intp)
        seen = {whole.tobytes()}
        for level in HIERARCHY:
            codes, distinct = pd.factorize(cell_keys(frame, level))
            if codes.tobytes() in seen:  # the same groups as a coarser level
                continue
            seen.add(codes.tobytes())
            self.levels_.append(level)
            self.groups_.append({str(key): i for i, key in enumerate(distinct)})
            self._codes_by_level.append(codes)
        ratios = [1.0, *(2.0 if "model" in level else 1.0 for level in self.levels_)]
        n_features = sums.features.shape[1]
        self._equations: list[tuple[int, int, Codes, Any]] = []
        for place, codes in enumerate([whole, *self._codes_by_level] if n_features else []):
            for group, cells in row_groups(codes):
                if sums.n_rows[cells].sum() >= MIN_ROWS:
                    gram = sums.gram(cells) + ratios[place] * self.slope_penalty * np.eye(n_features)
                    self._equations.append((place, group, cells, cho_factor(gram)))
        return self

    def fit_intercepts(self, z: Floats, *, n_sweeps: int = SWEEPS) -> Floats:
        """Fit the intercepts to `z` (n_samples,), log tokens, and return them row by row, in the same shape."""
        target = sums_of(self._cells, self._weight * z, len(self._sums.weight))
        fitted = self._intercepts_of_cells(target, n_sweeps)[self._cells]
        self.residual_variance_ = float(np.average((z - fitted) ** 2, weights=self._weight))
        return np.asarray(fitted)

    def _intercepts_of_cells(self, target: Floats, n_sweeps: int) -> Floats:
        """Backfit to the sums of weight times target; returns the sum of the intercepts of each cell."""
        weight = self._sums.weight
        self.mean_ = float(target.sum() / weight.sum())
        self.intercepts_ = [np.zeros(len(groups)) for groups in self.groups_]
        by_level = list(zip(self._codes_by_level, self.groups_, strict=True))
        self.sizes_ = [sums_of(codes, weight, len(groups)) for codes, groups in by_level]
        residual = target - weight * self.mean_
        for _ in range(n_sweeps):
            for level, (codes, groups) in enumerate(by_level):
                residual += weight * self.intercepts_[level][codes]
                sums = np.bincount(codes, residual, len(groups))
                self.intercepts_[level] = sums / (self.sizes_[level] + self.intercept_penalty)
                residual -= weight * self.intercepts_[level][codes]
        effects = zip(self.intercepts_, self._codes_by_level, strict=True)
        total = sum((intercepts[codes] for intercepts, codes in effects), start=np.zeros(len(weight)))
        return np.asarray(self.mean_ + total)

    def fit(self, z: Floats) -> Floats:
        """Fit intercepts, then slopes, to `z` and return the fitted location row by row."""
        fitted = self.fit_intercepts(z)
        base = np.zeros(len(self._sums.weight))
        base[self._cells] = fitted
        self._fit_slopes(self._sums.aimed_at(self._cells, self._features, self._weight, z), base)
        slopes = np.repeat(self.slopes_[0], len(base), axis=0)
        for level_slopes, codes in zip(self.slopes_[1:], self._codes_by_level, strict=True):
            slopes += level_slopes[codes]
        return np.asarray(fitted + row_products(self._features, self._cells, slopes))

    def _fit_slopes(self, sums: CellSums, base: Floats) -> None:
        """Backfit the slopes to what the intercepts of each cell leave."""
        from scipy.linalg import cho_solve

        n_features = sums.features.shape[1]
        self.slopes_ = [np.zeros((1, n_features)), *(np.zeros((len(g), n_features)) for g in self.groups_)]
        left = sums.cross - base[:, None] * sums.features
        for _ in range(SLOPE_SWEEPS):
            for level, group, cells, factor in self._equations:
                group_slopes = self.slopes_[level][group].copy()
                right = left[cells].sum(axis=0) + sum(sums.times(cell, group_slopes) for cell in cells)
                self.slopes_[level][group] = cho_solve(factor, right)
                for cell in cells:
                    left[cell] -= sums.times(cell, self.slopes_[level][group] - group_slopes)

    def intercept(self, X: pd.DataFrame) -> Floats:
        """Sum of the intercepts of each row; shape (n_samples,). Unknown groups add nothing."""
        cells, frame = groups_of(X, CATEGORIES)
        total = np.full(len(frame), self.mean_)
        for level, groups, effects in zip(self.levels_, self.groups_, self.intercepts_, strict=True):
            total += np.append(effects, 0.0)[_codes(cell_keys(frame, level), groups)]
        return np.asarray(total[cells])

    def text_effect(self, X: pd.DataFrame, features: RowFeatures) -> Floats:
        """What the text adds to the intercept of each row; shape (n_samples,)."""
        cells, frame = groups_of(X, CATEGORIES)
        return row_products(features, cells, self.slopes_of(frame))

    def shared_deviation(self, X: pd.DataFrame) -> Floats:
        """Standard deviation, in log tokens, of what the intercept of each row may be off, alike in its whole cell.

        Posterior deviation of the intercepts, level by level: with n runs the effect of a group has variance
        1 / (1 / between + n / within), and an unknown group the whole variance between groups.
        """
        variance = np.zeros(len(X))
        fitted = zip(self.levels_, self.groups_, self.intercepts_, self.sizes_, strict=True)
        for level, groups, effects, sizes in fitted:
            if level != self.levels_[-1] and len(level) > 1:
                continue  # what the single factors leave open is counted once, at the cell
            between = max(float(np.var(effects)), 1e-4)
            n = np.append(sizes, 0.0)[_codes(cell_keys(X, level), groups)]
            variance += 1.0 / (1.0 / between + n / max(self.residual_variance_, 1e-6))
        return np.asarray(np.sqrt(variance))

    def slopes_of(self, X: pd.DataFrame) -> Floats:
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
        for name in ("_weight", "_features", "_cells", "_sums", "_codes_by_level", "_equations"):
            vars(self).pop(name, None)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores the fitted effects."""
        parts = {"intercepts": self.intercepts_, "sizes": self.sizes_, "slopes": self.slopes_}
        arrays = {f"{name}.{i}": array for name, of_levels in parts.items() for i, array in enumerate(of_levels)}
        state = {"mean": self.mean_, "residual_variance": self.residual_variance_, "levels": self.levels_}
        return {**state, "groups": [list(g) for g in self.groups_]}, arrays

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        location = cls()
        location.mean_, location.residual_variance_ = state["mean"], state["residual_variance"]
        location.levels_ = [tuple(level) for level in state["levels"]]
        location.groups_ = [{key: i for i, key in enumerate(keys)} for keys in state["groups"]]
        for name, n in (("intercepts", 0), ("sizes", 0), ("slopes", 1)):
            setattr(location, f"{name}_", [arrays[f"{name}.{i}"] for i in range(len(location.levels_) + n)])
        return location


def out_of_fold(
    new: Callable[[], PooledLocation], X: pd.DataFrame, features: RowFeatures, weight: Floats, z: Floats, folds: Codes
) -> tuple[Floats, Floats]:
    """Intercept and text effect of each row, from fits that have not seen its fold; the rows are read once for all."""
    cells, frame = groups_of(X, CATEGORIES)
    parts, n_folds = folds * len(frame) + cells, int(folds.max(initial=0)) + 1
    sums = CellSums.of_rows(parts, n_folds * len(frame), features, weight).aimed_at(parts, features, weight, z)
    fits = [new().fit_cells(frame, sums.without(fold, len(frame))).release() for fold in range(n_folds)]
    base = np.concatenate([location.intercept(frame) for location in fits])
    slopes = np.vstack([location.slopes_of(frame) for location in fits])
    return base[parts], row_products(features, parts, slopes)
