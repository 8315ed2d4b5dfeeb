"""Quantile functions of log tokens: pooled shapes per cell, and heads joined to them without crossing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Codes, Floats
from ..pooling.hierarchy import cell_keys, groups_of

GRID: Floats = np.concatenate([[0.001, 0.0025], np.arange(1, 200) / 200, [0.9975, 0.999]])
"""Levels at which a pooled quantile function is kept."""

HEAD_LEVELS: tuple[float, ...] = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
"""Levels at which a forecast depends on more than its cell."""

COLD, WARM, PILOT = 0, 1, 2
"""What a forecast knows of its query: nothing, runs on other models, a run of its own model."""

MIN_TAIL = 0.05
STEPS: Floats = (np.arange(20) + 0.5) / 20


def weighted_quantiles(values: Floats, weight: Floats, levels: Floats) -> Floats:
    """Quantiles of weighted values, linear between the middles of the steps; shape (n_levels,)."""
    order = np.argsort(values, kind="stable")
    w = weight[order]
    middle = (w.cumsum() - 0.5 * w) / w.sum()
    return np.interp(levels, middle, values[order])


def evaluate_curves(curves: Floats, levels: Floats) -> Floats:
    """Quantile functions kept at `GRID`, read at `levels`; shape (n_curves, n_levels).

    Beyond the grid the tails go on exponentially on the log scale, which is Pareto in tokens.
    """
    inside = np.clip(levels, GRID[0], GRID[-1])
    values = np.array([np.interp(inside, GRID, curve) for curve in curves]).reshape(len(curves), len(levels))
    inner = int(np.searchsorted(GRID, 0.98))
    span = np.log((1 - GRID[inner]) / (1 - GRID[-1]))
    upper = np.maximum(curves[:, -1] - curves[:, inner], MIN_TAIL) / span
    lower = np.maximum(curves[:, len(GRID) - 1 - inner] - curves[:, 0], MIN_TAIL) / span
    values += upper[:, None] * np.log((1 - GRID[-1]) / np.minimum(1 - levels, 1 - GRID[-1]))
    values -= lower[:, None] * np.log(GRID[0] / np.minimum(levels, GRID[0]))
    return np.asarray(values)


class PooledQuantiles:
    """Empirical quantile functions per cell, each pulled towards its parent's.

    A cell of weight n keeps n / (n + `penalty`) of its own quantiles; the rest is its parent's: the cell's model, or
    all. `levels` are columns, from coarse to fine, each level refining the one before; `penalty` is in runs' worth of
    evidence that the parent's shape holds.
    """

    def __init__(self, levels: tuple[tuple[str, ...], ...], *, penalty: float = 20.0) -> None:
        self.levels = levels
        self.penalty = penalty

    def fit(self, X: pd.DataFrame, values: Floats, weight: Floats) -> Self:
        """Learn one curve at `GRID` per group of every level."""
        self.curves_: list[dict[str, Floats]] = [{"": weighted_quantiles(values, weight, GRID)}]
        parents = np.full(len(X), "", dtype=object)
        for level in self.levels:
            keys = cell_keys(X, level)
            curves = {}
            for key, rows in pd.Series(keys).groupby(keys, sort=False).indices.items():
                n = weight[rows].sum()
                group_curve = weighted_quantiles(values[rows], weight[rows], GRID)
                parent = self.curves_[-1][parents[rows[0]]]
                curves[str(key)] = (n * group_curve + self.penalty * parent) / (n + self.penalty)
            self.curves_.append(curves)
            parents = keys
        return self

    def lookup(self, X: pd.DataFrame) -> tuple[Codes, Floats]:
        """Curve of each row: positions of shape (n_samples,) in curves of shape (n_curves, n_grid)."""
        codes, cells = groups_of(X, self.levels[-1] if self.levels else ())
        keys = [cell_keys(cells, level) for level in self.levels]
        curves = []
        for row in range(len(cells)):
            for level_curves, part in zip(self.curves_[:0:-1], reversed(keys), strict=False):
                if part[row] in level_curves:
                    curves.append(level_curves[part[row]])
                    break
            else:
                curves.append(self.curves_[0][""])
        return codes, np.array(curves).reshape(len(cells), len(GRID))

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores the curves."""
        arrays = {f"curves.{i}": np.array(list(curves.values())) for i, curves in enumerate(self.curves_)}
        return {"levels": self.levels, "keys": [list(curves) for curves in self.curves_]}, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Self:
        """Restore what `state` returned."""
        pooled = cls(tuple(tuple(level) for level in state["levels"]))
        pooled.curves_ = [dict(zip(keys, arrays[f"curves.{i}"], strict=True)) for i, keys in enumerate(state["keys"])]
        return pooled


def curve_spreads(curves: Floats) -> Floats:
    """Half the distance between the 16 % and the 84 % quantile of each curve, in log tokens; shape (n_curves,)."""
    lower, upper = evaluate_curves(curves, np.array([0.16, 0.84])).T
    return np.asarray((upper - lower) / 2)


def moved_curves(curves: Floats, codes: Codes, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """Each row's curve, moved by `mean` of its spreads and narrowed to `deviation` of them, (n_samples,) each.

    Returns the mean residual (n_samples,), and quantiles around it at `HEAD_LEVELS` (n_samples, n_heads).
    """
    usual = evaluate_curves(curves, STEPS).mean(axis=1)
    around = evaluate_curves(curves, np.array(HEAD_LEVELS)) - usual[:, None]
    return usual[codes] + curve_spreads(curves)[codes] * mean, deviation[:, None] * around[codes]


@dataclass(frozen=True)
class Heads:
    """Log quantiles of n forecasts at `HEAD_LEVELS`, shape (n_samples, n_heads), and the shape that joins them.

    `codes` (n_samples,) and `curves` (n_curves, n_grid) are the cell's curve of each row, as `PooledQuantiles.lookup`
    returns them; `regime` (n_samples,) is `COLD`, `WARM` (runs of the query on other models are known) or `PILOT` (one
    of its own is).
    """

    values: Floats
    codes: Codes
    curves: Floats
    regime: Codes

    @classmethod
    def cold(cls, values: Floats, codes: Codes, curves: Floats) -> Self:
        """Heads of forecasts about queries of which no run is known."""
        return cls(values, codes, curves, np.full(len(values), COLD))

    def replace_values(self, values: Floats) -> "Heads":
        """The same shape through other values."""
        return replace(self, values=values)

    def select(self, rows: Codes) -> "Heads":
        """The forecasts at positions `rows`."""
        return Heads(self.values[rows], self.codes[rows], self.curves, self.regime[rows])


def join_heads(heads: Heads, levels: Floats) -> Floats:
    """Quantiles at any levels from those at `HEAD_LEVELS`.

    Between two heads the forecast has the shape of its cell's curve, stretched to meet both; beyond the
    outer heads it has the curve's tails. Non-decreasing in the level, and the value at one level does not
    depend on which others are asked for. Crossed heads are sorted. Shape (n_samples, n_levels).
    """
    values = np.sort(heads.values, axis=1)
    knots = np.array(HEAD_LEVELS)
    at_knots, shape = (evaluate_curves(heads.curves, at)[heads.codes] for at in (knots, levels))
    out = np.empty((len(values), len(levels)))
    segment = np.searchsorted(knots, levels, side="right") - 1
    segment = np.where(levels <= knots[0], -1, np.minimum(segment, len(knots) - 1))
    for k in np.unique(segment):
        here = np.flatnonzero(segment == k)
        if k < 0 or k == len(knots) - 1:
            end = max(k, 0)
            out[:, here] = values[:, [end]] + shape[:, here] - at_knots[:, [end]]
            continue
        gap = at_knots[:, [k + 1]] - at_knots[:, [k]]
        plain = (levels[here] - knots[k]) / (knots[k + 1] - knots[k])
        share = np.where(gap > 1e-9, (shape[:, here] - at_knots[:, [k]]) / np.maximum(gap, 1e-9), plain)
        out[:, here] = values[:, [k]] + share * (values[:, [k + 1]] - values[:, [k]])
    return out
