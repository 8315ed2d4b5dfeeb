"""Sums over the rows of each cell (model, benchmark and effort), which the pooled location is fitted to.

A cell is the finest group of the hierarchy, so its sums of products serve every coarser group and every fold: the rows
are read once, however many fits follow, and no group keeps a copy of its rows. Sums of parts of the rows add up to
those of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ...arrays import Codes, Floats
from ...fitting.text.embedded import EmbeddedTexts

ROWS_AT_ONCE = 16_384
"""Rows whose features are held in double precision at a time."""


RowFeatures: TypeAlias = Floats | EmbeddedTexts
"""Features of n rows, shape (n_rows, n_features); of texts some rows at a time."""


def row_groups(codes: Codes, at_once: int | None = None) -> Iterator[tuple[int, Codes]]:
    """Every code that occurs with its rows, ascending; with `at_once` no more of them at a time."""
    order = np.argsort(codes, kind="stable")
    bounds = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for rows in np.split(order, bounds[1:]) if len(order) else []:
        step = at_once or len(rows)
        yield from ((int(codes[rows[0]]), rows[start : start + step]) for start in range(0, len(rows), step))


def row_products(features: RowFeatures, codes: Codes, slopes: Floats) -> Floats:
    """Each row's features times the slopes of its code, `slopes` of shape (n_codes, n_features); shape (n_rows,)."""
    out = np.zeros(len(codes))
    for code, chunk in row_groups(codes, ROWS_AT_ONCE):
        out[chunk] = features[chunk] @ slopes[code]
    return out


@dataclass(eq=False)
class CellSums:
    """Sums over the rows of each cell; w is the weight of a row, x its features, z its target.

    `n_rows`, `weight` and `target` (n_cells,) are rows and sums of w and of w z, `features` and `cross` (n_cells,
    n_features) sums of w x and of w x z. Of each cell, `designs` are arrays (any, n_features) of rows times the root of
    their weight, where it has fewer rows than features, `grams` (n_features, n_features) the sum of w x x' over others.
    """

    n_rows: Floats
    weight: Floats
    target: Floats
    features: Floats
    cross: Floats
    designs: list[list[Floats]]
    grams: list[Floats | None]

    @classmethod
    def of_rows(cls, codes: Codes, n_cells: int, features: RowFeatures, weight: Floats) -> CellSums:
        """Sum over rows, but for `target` and `cross`, which `aimed_at` adds."""
        p = features.shape[1]
        sums = cls(
            np.bincount(codes, minlength=n_cells).astype(np.float64),
            sums_of(codes, weight, n_cells),
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
                chunk = rows[start : start + ROWS_AT_ONCE]
                design = features[chunk]
                weighted = design * weight[chunk, None]
                sums.features[code] += weighted.sum(axis=0)
                gram += weighted.T @ design
            sums.grams[code] = gram
        return sums

    def aimed_at(self, codes: Codes, features: RowFeatures, weight: Floats, z: Floats) -> CellSums:
        """The same with the sums of the target `z` of the same rows."""
        target = sums_of(codes, weight * z, len(self.weight))
        cross = np.zeros_like(self.features)
        for code, chunk in row_groups(codes, ROWS_AT_ONCE) if features.shape[1] else []:
            cross[code] += (weight[chunk] * z[chunk]) @ features[chunk]
        return replace(self, target=target, cross=cross)

    def gram(self, cells: Codes) -> Floats:
        """Sum of w x x' over the rows of `cells`; shape (n_features, n_features)."""
        total = _added([self.grams[cell] for cell in cells])
        designs = [design for cell in cells for design in self.designs[cell]]
        if designs:
            stacked = np.vstack(designs)
            total = stacked.T @ stacked if total is None else total + stacked.T @ stacked
        return np.zeros((self.features.shape[1],) * 2) if total is None else total

    def times(self, cell: int, vector: Floats) -> Floats:
        """Sum of w x x' over the rows of `cell`, times `vector` (n_features,), in the same shape."""
        gram = self.grams[cell]
        product = np.zeros_like(vector) if gram is None else gram @ vector
        for design in self.designs[cell]:
            product += design.T @ (design @ vector)
        return product

    def select(self, cells: Codes) -> CellSums:
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


def _added(grams: Sequence[Floats | None]) -> Floats | None:
    summands = [gram for gram in grams if gram is not None]
    return np.asarray(sum(summands[1:], start=summands[0])) if summands else None


def sums_of(codes: Codes, values: Floats, n_codes: int) -> Floats:
    """Sum of the values of each code; shape (n_codes,)."""
    return np.bincount(codes, values, n_codes).astype(np.float64)
