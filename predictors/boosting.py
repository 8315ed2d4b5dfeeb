"""Where LightGBM is trained: here, or wherever the caller says; predictors do not know which.

A predictor that may see more rows than one machine holds trains its boosters through `train_boosters`. Whoever runs it
may name another trainer with `boosted_by`; the boosters are LightGBM's own either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoostingJob", "Trainer", "boosted_by", "train_boosters", "train_here"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BoostingJob:
    """Several boosters of the same rows.

    Attributes
    ----------
    columns : ndarray of shape (n_samples, n_columns)
        NaN is unknown.
    target, weight : ndarray of shape (n_samples,)
    starts : ndarray of shape (n_samples, n_boosters)
        Where each booster starts from; what it adds to that is what it learns.
    parameters : sequence of mapping, n_boosters of them
        LightGBM's parameters of each booster.
    n_rounds : int
        Trees of each booster.
    categorical : sequence of int
        Columns that hold codes of categories.
    """

    columns: Floats
    target: Floats
    weight: Floats
    starts: Floats
    parameters: Sequence[Mapping[str, Any]]
    n_rounds: int
    categorical: Sequence[int] = ()


class Trainer(Protocol):
    """Trains the boosters of a job, in its order."""

    def __call__(self, job: BoostingJob) -> list[Any]: ...


def train_here(job: BoostingJob) -> list[Any]:
    """Train the boosters of a job in this process, in its order."""
    import lightgbm as lgb

    data = lgb.Dataset(
        job.columns,
        job.target,
        weight=job.weight,
        categorical_feature=list(job.categorical),
        free_raw_data=False,
        params=dict(job.parameters[0]),
    )
    boosters = []
    for parameters, start in zip(job.parameters, job.starts.T, strict=True):
        data.set_init_score(np.ascontiguousarray(start))
        boosters.append(lgb.train(dict(parameters), data, job.n_rounds))
    return boosters


_trainers: list[Trainer] = [train_here]


def train_boosters(job: BoostingJob) -> list[Any]:
    """Train with the trainer that `boosted_by` names, by default in this process."""
    return _trainers[-1](job)


@contextmanager
def boosted_by(trainer: Trainer) -> Iterator[None]:
    """Train every booster within the block with `trainer`."""
    _trainers.append(trainer)
    try:
        yield
    finally:
        _trainers.remove(trainer)
