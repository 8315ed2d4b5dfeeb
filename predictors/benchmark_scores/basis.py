"""What a score forecast rests on, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAME_DESCRIPTION = 1 - 1e-6
"""Likeness from which on two descriptions differ in nothing that training kept."""


def bases(
    is_blank: NDArray[np.bool_], likeness: NDArray[np.float64], n_scores: NDArray[np.intp], n_runs: NDArray[np.intp]
) -> list[str]:
    """A short sentence for every forecast, by what is known of it, shape (n_samples,) each.

    Whether nothing of the benchmark is described in words or kinds that training saw, the cosine with the nearest
    description of training, known scores of other models on the benchmark, scores of the model that were learnt from.
    """
    return [
        "; ".join(
            [
                *([f"{scores} known {'score' if scores == 1 else 'scores'} of other models"] if scores else []),
                _of_benchmark(bool(blank), float(near)),
                f"{runs} {'score' if runs == 1 else 'scores'} of the model" if runs else "a model that was never seen",
            ]
        )
        for blank, near, scores, runs in zip(is_blank, likeness, n_scores, n_runs, strict=True)
    ]


def _of_benchmark(is_blank: bool, likeness: float) -> str:
    if is_blank:
        return "the spread of all benchmarks, since this one is not described in words that were seen"
    if likeness > SAME_DESCRIPTION:
        return "scores on a benchmark of this very description"
    return f"the description of a benchmark that was never seen (nearest of training: alike to {likeness:.2f})"
