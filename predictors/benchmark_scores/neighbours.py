"""Retrieval: what the most similar other benchmarks scored, never those of the same leak group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Neighbours"]

Floats = NDArray[np.float64]
BLOCK_WEIGHTS = {
    "word": 1.0,
    "format": 0.5,
    "metric": 0.25,
    "language": 0.25,
    "domain": 0.25,
    "detail": 0.1,
    "sentence": 1.0,
}


@dataclass(frozen=True)
class Neighbours:
    """Mean effect of the `k` leak groups whose nearest member is most similar, weighted by similarity.

    One neighbour per leak group: five translations of one benchmark are one piece of evidence.
    """

    vectors: Floats
    effects: Floats
    groups: NDArray[np.intp]
    k: int = 5

    @staticmethod
    def join(blocks: dict[str, Floats]) -> Floats:
        """One vector per benchmark from its blocks."""
        return np.hstack([np.sqrt(BLOCK_WEIGHTS[name]) * blocks[name] for name in BLOCK_WEIGHTS if name in blocks])

    def predict(self, vectors: Floats) -> Floats:
        """Effect of each benchmark, shape (n_benchmarks,)."""
        similarity = vectors @ self.vectors.T
        n_groups = int(self.groups.max()) + 1
        out = np.empty(len(vectors))
        for i, row in enumerate(similarity):
            best = np.full(n_groups, -1.0)
            np.maximum.at(best, self.groups, row)
            value = np.bincount(self.groups, self.effects * (row >= best[self.groups]), minlength=n_groups)
            ties = np.bincount(self.groups, row >= best[self.groups], minlength=n_groups)
            top = np.argsort(-best, kind="stable")[: self.k]
            out[i] = np.average(value[top] / np.maximum(ties[top], 1), weights=np.maximum(best[top], 1e-3) ** 2)
        return out
