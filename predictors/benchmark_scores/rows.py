"""Scores to learn from, or forecasts to make, as arrays."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, Mask
from .description.features import benchmark_rows


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to forecast.

    `benchmark` and `model` are codes into `benchmarks` (distinct descriptions), `groups` (leak group of each
    benchmark) and `metadata` (of each model); a model code of -1 was never seen in training.
    """

    benchmarks: pd.DataFrame
    groups: Codes
    metadata: Floats
    benchmark: Codes
    model: Codes
    features: Floats

    def take(self, rows: Mask | Codes) -> "Rows":
        """The same benchmarks and models with fewer rows."""
        return replace(self, benchmark=self.benchmark[rows], model=self.model[rows], features=self.features[rows])

    def weights(self) -> Floats:
        """Weight of each row for calibration: the inverse square root of its leak group's number of rows."""
        return group_weights(self.groups[self.benchmark])

    def undescribed(self) -> "Rows":
        """The same rows on benchmarks of which nothing is told."""
        nothing, codes = benchmark_rows(pd.DataFrame(index=range(len(self.benchmark))))
        return replace(self, benchmarks=nothing, groups=np.zeros(1, dtype=np.intp), benchmark=codes)


def group_weights(groups: Codes) -> Floats:
    """Weight of each member, shape (n_members,): the inverse square root of the size of its leak group."""
    return np.asarray(np.bincount(groups)[groups] ** -0.5, dtype=np.float64)
