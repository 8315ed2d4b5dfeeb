"""Conformal offsets of the heads and a factor for the mean, per cell, from held-out queries."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Floats
from ...fitting.conformal import SHRINKAGE, level_offsets
from .distribution import HEAD_LEVELS

MEAN_SHRINKAGE = 100.0
MIN_RUNS = 20
MIN_CELL_RUNS = 2


@dataclass
class Calibration:
    """Offsets at `HEAD_LEVELS` on the log scale and factors of the mean; by cell, and overall for unseen ones.

    A cell's own values count n / (n + k) against the overall ones, n its held-out queries.
    """

    offsets: Floats = field(default_factory=lambda: np.zeros(len(HEAD_LEVELS)))
    factor: float = 1.0
    cell_offsets: dict[str, Floats] = field(default_factory=dict)
    cell_factors: dict[str, float] = field(default_factory=dict)

    def fit_offsets(self, cells: NDArray[np.object_], z: Floats, heads: Floats, weight: Floats) -> Self:
        """Learn the offsets from outcomes `z` (log tokens) and `heads` of shape (n_samples, n_heads)."""
        if weight.sum() < MIN_RUNS:
            return self
        heads = np.sort(heads, axis=1)
        self.offsets = level_offsets(z, heads, HEAD_LEVELS, weight)
        for cell, rows in pd.Series(cells).groupby(cells, sort=False).indices.items():
            n = weight[rows].sum()
            if n < MIN_CELL_RUNS:
                continue
            group_offsets = level_offsets(z[rows], heads[rows], HEAD_LEVELS, weight[rows])
            self.cell_offsets[str(cell)] = (n * group_offsets + SHRINKAGE * self.offsets) / (n + SHRINKAGE)
        return self

    def fit_factors(self, cells: NDArray[np.object_], billed: Floats, means: Floats, weight: Floats) -> Self:
        """Learn factors from outcomes and forecast means (n_samples,), tokens, so that the bill of a cell adds up."""
        if weight.sum() < MIN_RUNS:
            return self
        logs: dict[str, float] = {}
        shares: dict[str, float] = {}
        for cell, rows in pd.Series(cells).groupby(cells, sort=False).indices.items():
            n = weight[rows].sum()
            ratio = np.average(billed[rows], weights=weight[rows]) / np.average(means[rows], weights=weight[rows])
            logs[str(cell)] = float(np.log(np.clip(ratio, 0.1, 10.0)))
            shares[str(cell)] = float(n / (n + MEAN_SHRINKAGE))
        overall = float(np.average(list(logs.values()), weights=list(shares.values())))
        self.factor = float(np.exp(overall))
        self.cell_factors = {c: float(np.exp(shares[c] * logs[c] + (1 - shares[c]) * overall)) for c in logs}
        return self

    def offsets_at(self, cells: NDArray[np.object_]) -> Floats:
        """Offsets of each row; shape (n_samples, n_heads)."""
        codes, names = pd.factorize(cells)
        table = [self.cell_offsets.get(str(name), self.offsets) for name in names]
        return np.array(table).reshape(len(names), len(HEAD_LEVELS))[codes]

    def factors_at(self, cells: NDArray[np.object_]) -> Floats:
        """Factor of the mean of each row; shape (n_samples,)."""
        codes, names = pd.factorize(cells)
        return np.array([self.cell_factors.get(str(name), self.factor) for name in names], dtype=np.float64)[codes]

    def state(self) -> dict[str, Any]:
        """Everything `from_state` needs, as JSON types."""
        by_cell = {cell: offsets.tolist() for cell, offsets in self.cell_offsets.items()}
        return {**vars(self), "offsets": self.offsets.tolist(), "cell_offsets": by_cell}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Restore what `state` returned."""
        by_cell = {cell: np.array(offsets) for cell, offsets in state["cell_offsets"].items()}
        return cls(np.array(state["offsets"]), state["factor"], by_cell, dict(state["cell_factors"]))
