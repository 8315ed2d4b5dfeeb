"""What a past run tells beside its length: how much of it was reasoning, and whether its answer was right.

Both say how hard other models found the query. They are centred by model, benchmark and effort, pooled, so
that a run is compared with other runs of its own configuration.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Floats
from ..pooling.hierarchy import CATEGORIES, PooledLocation

DETAILS: tuple[str, ...] = ("reasoning", "answer", "score")
"""Columns of `run_details`."""

MIN_KNOWN = 20


def run_details(output_tokens: Floats, reasoning_tokens: Floats, score: Floats) -> Floats:
    """Log reasoning tokens, log answer tokens and score of each run, NaN where unknown; shape (n_runs, 3)."""
    answer = np.maximum(output_tokens - reasoning_tokens, 0.0)
    return np.column_stack([np.log1p(reasoning_tokens), np.log1p(answer), score])


@dataclass(frozen=True)
class DetailCentres:
    """What each detail is on average in a configuration, by name, so that a run's can be told high or low."""

    centres: dict[str, PooledLocation]

    @classmethod
    def fit(cls, X: pd.DataFrame, details: Floats, weight: Floats) -> Self:
        """Learn from `details` of shape (n_runs, 3); a detail of fewer than 20 runs stays unused."""
        centres: dict[str, PooledLocation] = {}
        X = X[[name for name in CATEGORIES if name in X]]
        for name, values in zip(DETAILS, details.T, strict=True):
            is_measured = np.isfinite(values)
            if is_measured.sum() < MIN_KNOWN:
                continue
            nothing = np.empty((int(is_measured.sum()), 0))
            centres[name] = PooledLocation().prepare(X[is_measured], nothing, weight[is_measured])
            centres[name].fit(values[is_measured])
            centres[name].release()
        return cls(centres)

    def centred(self, X: pd.DataFrame, details: Floats) -> Floats:
        """`details` minus what is usual in the configuration of each run; NaN where unknown; shape (n_runs, 3)."""
        columns = [
            values - self.centres[name].intercept(X) if name in self.centres else np.full(len(X), np.nan)
            for name, values in zip(DETAILS, details.T, strict=True)
        ]
        return np.column_stack(columns)

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores the centres."""
        states: dict[str, Any] = {}
        arrays: dict[str, Floats] = {}
        for name, location in self.centres.items():
            states[name], location_arrays = location.state()
            arrays |= {f"{name}.{key}": value for key, value in location_arrays.items()}
        return states, arrays

    @classmethod
    def from_state(cls, states: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        centres = {}
        for name, state in states.items():
            own = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith(f"{name}.")}
            centres[name] = PooledLocation.from_state(state, own)
        return cls(centres)
