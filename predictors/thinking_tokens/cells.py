"""The pooled location of very many rows: fitted to sums over the rows of each cell (model, benchmark and effort).

A cell is the finest group of the hierarchy, so its sums of products serve every coarser group and every fold: the rows
are read once, however many fits follow, and no group keeps a copy of its rows. Sums of parts of the rows add up to
those of the whole. What `PooledLocation` fits to rows comes out the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.thinking_tokens.hierarchy import SWEEPS, PooledLocation, cells_of

__all__ = ["CellLocation", "CellSums", "RowFeatures", "out_of_fold", "row_groups", "row_products"]

ROWS_AT_ONCE = 16_384
"""Rows whose features are held in double precision at a time."""

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class RowFeatures(Protocol):
    """Features of n rows: an array, or what gives the rows that are asked for as one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Ints | slice, /) -> Floats: ...


def row_groups(codes: Ints) -> Iterator[tuple[int, Ints]]:
    """Every code that occurs with its rows, ascending."""
    order = np.argsort(codes, kind="stable")
    bounds = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for rows in np.split(order, bounds[1:]) if len(order) else []:
        yield int(codes[rows[0]]), rows


def row_products(features: RowFeatures, codes: Ints, slopes: Floats) -> Floats:
    """Each row's features times the slopes of its code, `slopes` of shape (n_codes, n_features); shape (n_rows,)."""
    out = np.zeros(len(codes))
    for code, rows in row_groups(codes):
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            out[some] = features[some] @ slopes[code]
    return out


@dataclass(eq=False)
class CellSums:
    """Sums over the rows of each cell; w is the weight of a row, x its features, z its target.

    Attributes
    ----------
    n_rows, weight, target : ndarrays of shape (n_cells,)
        Rows, sums of w and of w z.
    features, cross : ndarrays of shape (n_cells, n_features)
        Sums of w x and of w x z.
    designs : list of list of ndarrays of shape (any, n_features), n_cells of them
        Rows times the root of their weight, of cells with fewer rows than features.
    grams : list of ndarrays of shape (n_features, n_features) or None, n_cells of them
        Sum of w x x' over the other rows of the cell.
    """

    n_rows: Floats
    weight: Floats
    target: Floats
    features: Floats
    cross: Floats
    designs: list[list[Floats]]
    grams: list[Floats | None]

    @classmethod
    def of_rows(cls, codes: Ints, n_cells: int, features: RowFeatures, weight: Floats) -> CellSums:
        """Sum over rows, but for `target` and `cross`, which `aimed_at` adds."""
        p = features.shape[1]
        sums = cls(
            np.bincount(codes, minlength=n_cells).astype(np.float64),
            _sums(codes, weight, n_cells),
            np.zeros(n_cells),
            np.zeros((n_cells, p)),
            np.zeros((n_cells, p)),
            [[] for _ in range(n_cells)],
            [None] * n_cells,
        )
        for code, rows in row_groups(codes) if p else []:
            if len(rows) < p:
                design = features[rows]
                sums.features[code] = weight[rows] @ design
                sums.designs[code] = [design * np.sqrt(weight[rows, None])]
                continue
            gram = np.zeros((p, p))
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                design = features[some]
                weighted = design * weight[some, None]
                sums.features[code] += weighted.sum(axis=0)
                gram += weighted.T @ design
            sums.grams[code] = gram
        return sums

    def aimed_at(self, codes: Ints, features: RowFeatures, weight: Floats, z: Floats) -> CellSums:
        """The same with the sums of the target `z` of the same rows."""
        target = _sums(codes, weight * z, len(self.weight))
        cross = np.zeros_like(self.features)
        for code, rows in row_groups(codes) if features.shape[1] else []:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                cross[code] += (weight[some] * z[some]) @ features[some]
        return replace(self, target=target, cross=cross)

    def gram(self, cells: Ints) -> Floats:
        """Sum of w x x' over the rows of `cells`; shape (n_features, n_features)."""
        total = _added([self.grams[cell] for cell in cells])
        designs = [design for cell in cells for design in self.designs[cell]]
        if designs:
            stacked = np.vstack(designs)
            total = stacked.T @ stacked if total is None else total + stacked.T @ stacked
        return np.zeros((self.features.shape[1],) * 2) if total is None else total

    def times(self, cell: int, vector: Floats) -> Floats:
        """Sum of w x x' over the rows of `cell`, times `vector`."""
        gram = self.grams[cell]
        product = np.zeros_like(vector) if gram is None else gram @ vector
        for design in self.designs[cell]:
            product += design.T @ (design @ vector)
        return product

    def select(self, cells: Ints) -> CellSums:
        """The sums of `cells`."""
        return self._each(lambda v: v[cells], [self.designs[cell] for cell in cells], [self.grams[c] for c in cells])

    def without(self, fold: int, n_cells: int) -> CellSums:
        """Sums by cell over every fold but one (over that one, where it is alone).

        These are sums by fold and cell, of which cell c in fold f is entry ``f * n_cells + c``.
        """
        n_folds = len(self.weight) // n_cells
        others = [other * n_cells for other in range(n_folds) if other != fold] or [fold * n_cells]
        return self._each(
            lambda v: np.asarray(sum(v[start : start + n_cells] for start in others)),
            [[d for start in others for d in self.designs[start + cell]] for cell in range(n_cells)],
            [_added([self.grams[start + cell] for start in others]) for cell in range(n_cells)],
        )

    def _each(
        self, of: Callable[[Floats], Floats], designs: list[list[Floats]], grams: list[Floats | None]
    ) -> CellSums:
        parts = of(self.n_rows), of(self.weight), of(self.target), of(self.features), of(self.cross)
        return CellSums(*parts, designs, grams)


class CellLocation(PooledLocation):
    """A `PooledLocation` that is fitted to `CellSums`; `features` may be anything that gives rows of them."""

    def prepare(self, X: pd.DataFrame, features: RowFeatures, weight: Floats) -> Self:
        """See `PooledLocation.prepare`."""
        self._row_features, self._row_weight = features, weight
        self._cells, frame = cells_of(X)
        return self._prepare_cells(frame, CellSums.of_rows(self._cells, len(frame), features, weight))

    def fit_cells(self, frame: pd.DataFrame, sums: CellSums) -> Self:
        """Fit to sums over the rows of each cell of `frame`; cells without rows are left out."""
        some = np.flatnonzero(sums.n_rows)
        sums = sums.select(some)
        self._prepare_cells(frame.iloc[some], sums)
        self._fit_slopes(sums, self._intercepts_of_cells(sums.target, SWEEPS))
        return self

    def _prepare_cells(self, frame: pd.DataFrame, sums: CellSums) -> Self:
        self._sums = sums
        self._find_groups(frame)
        self._factorise_cells()
        return self

    def _factorise_cells(self) -> None:
        from scipy.linalg import cho_factor

        whole = np.zeros(len(self._sums.weight), dtype=np.intp)
        designs = [(0, whole, 1.0), *((i + 1, c, self._ratio(i)) for i, c in enumerate(self._codes_by_level))]
        n_features = self._sums.features.shape[1]
        self._cell_equations: list[tuple[int, int, Ints, Any]] = []
        for level, codes, ratio in designs if n_features else []:
            for group, cells in row_groups(codes):
                if self._sums.n_rows[cells].sum() < self.min_rows:
                    continue
                gram = self._sums.gram(cells) + ratio * self.slope_penalty * np.eye(n_features)
                self._cell_equations.append((level, group, cells, cho_factor(gram)))

    def fit_intercepts(self, z: Floats, *, n_sweeps: int = SWEEPS) -> Floats:
        """See `PooledLocation.fit_intercepts`."""
        target = _sums(self._cells, self._row_weight * z, len(self._sums.weight))
        fitted = self._intercepts_of_cells(target, n_sweeps)[self._cells]
        self.residual_variance_ = float(np.average((z - fitted) ** 2, weights=self._row_weight))
        return np.asarray(fitted)

    def _intercepts_of_cells(self, target: Floats, n_sweeps: int) -> Floats:
        """Backfit to the sums of weight times target; returns the sum of the intercepts of each cell."""
        weight = self._sums.weight
        self.mean_ = float(target.sum() / weight.sum())
        self.intercepts_ = [np.zeros(len(groups)) for groups in self.groups_]
        by_level = list(zip(self._codes_by_level, self.groups_, strict=True))
        self.sizes_ = [_sums(codes, weight, len(groups)) for codes, groups in by_level]
        residual = target - weight * self.mean_
        for _ in range(n_sweeps):
            for level, (codes, groups) in enumerate(by_level):
                residual += weight * self.intercepts_[level][codes]
                sums = np.bincount(codes, residual, len(groups))
                self.intercepts_[level] = sums / (self.sizes_[level] + self.intercept_penalty)
                residual -= weight * self.intercepts_[level][codes]
        effects = zip(self.intercepts_, self._codes_by_level, strict=True)
        return np.asarray(self.mean_ + sum((own[codes] for own, codes in effects), start=np.zeros(len(weight))))

    def fit(self, z: Floats) -> Floats:
        """See `PooledLocation.fit`."""
        fitted = self.fit_intercepts(z)
        base = np.zeros(len(self._sums.weight))
        base[self._cells] = fitted
        self._fit_slopes(self._sums.aimed_at(self._cells, self._row_features, self._row_weight, z), base)
        slopes = np.repeat(self.slopes_[0], len(base), axis=0)
        for own, codes in zip(self.slopes_[1:], self._codes_by_level, strict=True):
            slopes += own[codes]
        return np.asarray(fitted + row_products(self._row_features, self._cells, slopes))

    def _fit_slopes(self, sums: CellSums, base: Floats) -> None:
        """Backfit the slopes to what the intercepts of each cell leave."""
        from scipy.linalg import cho_solve

        n_features = sums.features.shape[1]
        self.slopes_ = [np.zeros((1, n_features)), *(np.zeros((len(g), n_features)) for g in self.groups_)]
        left = sums.cross - base[:, None] * sums.features
        for _ in range(self.n_sweeps):
            for level, group, cells, factor in self._cell_equations:
                own = self.slopes_[level][group].copy()
                right = left[cells].sum(axis=0) + sum(sums.times(cell, own) for cell in cells)
                self.slopes_[level][group] = cho_solve(factor, right)
                for cell in cells:
                    left[cell] -= sums.times(cell, self.slopes_[level][group] - own)

    def text_effect(self, X: pd.DataFrame, features: RowFeatures) -> Floats:
        """See `PooledLocation.text_effect`."""
        cells, frame = cells_of(X)
        return row_products(features, cells, self.slopes_of(frame))

    def release(self) -> Self:
        """See `PooledLocation.release`."""
        for name in ("_row_features", "_row_weight", "_cells", "_sums", "_cell_equations"):
            vars(self).pop(name, None)
        return super().release()


def out_of_fold(
    new: Callable[[], CellLocation], X: pd.DataFrame, features: RowFeatures, weight: Floats, z: Floats, folds: Ints
) -> tuple[Floats, Floats]:
    """Intercept and text effect of each row, from fits that have not seen its fold; the rows are read once for all."""
    cells, frame = cells_of(X)
    parts, n_folds = folds * len(frame) + cells, int(folds.max(initial=0)) + 1
    sums = CellSums.of_rows(parts, n_folds * len(frame), features, weight).aimed_at(parts, features, weight, z)
    fits = [new().fit_cells(frame, sums.without(fold, len(frame))) for fold in range(n_folds)]
    base = np.concatenate([location.intercept(frame) for location in fits])
    slopes = np.vstack([location.slopes_of(frame) for location in fits])
    return base[parts], row_products(features, parts, slopes)


def _added(grams: Sequence[Floats | None]) -> Floats | None:
    known = [gram for gram in grams if gram is not None]
    return np.asarray(sum(known[1:], start=known[0])) if known else None


def _sums(codes: Ints, values: Floats, n_codes: int) -> Floats:
    return np.bincount(codes, values, n_codes).astype(np.float64)
