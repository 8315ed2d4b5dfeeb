"""Where the work of a fit that grows with its rows is done: here, or wherever the caller says; predictors do not know.

A predictor that may see very many rows trains its boosters through `train_boosters`, and what it does row by row (reads
texts, asks boosters, judges held-out runs) goes through `map_blocks`. Whoever runs it may name another trainer with
`boosted_by`; boosters are LightGBM's own, and blocks the same, either way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from ..arrays import Floats
from .trees import predict_saved

T = TypeVar("T")
R = TypeVar("R")
BLOCK_ROWS = 50_000
"""Rows of a block of work."""
SENT_FROM_BOOSTERS = 3


def lightgbm_parameters(*, seed: int | None, num_threads: int, **changes: Any) -> dict[str, Any]:
    """What the project's boosters share, with `changes` on top: the same trees on any number of threads, no output."""
    return {
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "seed": seed,
        "num_threads": num_threads,
        **changes,
    }


def train_booster(
    parameters: Mapping[str, Any],
    columns: Floats,
    target: Floats,
    *,
    weight: Floats | None = None,
    n_rounds: int,
    n_categorical: int = 0,
) -> Any:
    """Train one booster of `n_rounds` trees in this process.

    Of `columns` (n_samples, n_columns) NaN is unknown, and the first `n_categorical` hold codes of categories;
    `parameters` as of `lightgbm_parameters`.
    """
    import lightgbm as lgb

    settings = dict(parameters)
    data = lgb.Dataset(columns, target, weight=weight, params=settings, categorical_feature=list(range(n_categorical)))
    return lgb.train(settings, data, n_rounds)


@dataclass(frozen=True, eq=False)
class BoostingJob:
    """Several boosters of the same rows: `columns` of shape (n_samples, n_columns), NaN is unknown.

    Each learns what it adds to its `starts`, of shape (n_samples, n_boosters), in `n_rounds` trees by its own
    `parameters` of LightGBM; `categorical` columns hold codes.
    """

    columns: Floats
    target: Floats
    weight: Floats
    starts: Floats
    parameters: Sequence[Mapping[str, Any]]
    n_rounds: int
    categorical: Sequence[int] = ()


class Trainer(Protocol):
    """Trains the boosters of a job, in its order, and applies functions to blocks of rows."""

    def __call__(self, job: BoostingJob) -> list[Any]: ...

    def map(self, function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
        """Results in the order of the blocks; `function` may run twice on a block."""
        ...


class _Here:
    """This process."""

    def __call__(self, job: BoostingJob) -> list[Any]:
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

    def map(self, function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
        """One block after the other."""
        return [function(block) for block in blocks]


train_here: Trainer = _Here()
_trainers: list[Trainer] = [train_here]


def train_boosters(job: BoostingJob) -> list[Any]:
    """Train with the trainer that `boosted_by` names, by default in this process."""
    return _trainers[-1](job)


def map_blocks(function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
    """Apply `function` to every block where the boosters are trained; results in the order of the blocks.

    What `function` says of a row must not depend on the block that the row is in.
    """
    return _trainers[-1].map(function, blocks)


def row_slices(n_rows: int, size: int | None = None) -> list[slice]:
    """Consecutive rows in blocks of `size`, by default `BLOCK_ROWS`; one empty block of no rows."""
    step = BLOCK_ROWS if size is None else size
    return [slice(start, min(start + step, n_rows)) for start in range(0, max(n_rows, 1), step)]


def predict_boosters(boosters: Sequence[Any], columns: Floats, *, num_threads: int = 1) -> Floats:
    """What each booster adds to the start of each row; shape (n_samples, n_boosters).

    To send the columns costs as much as to ask one booster (docs/thinking_tokens.md), so a few are asked here.
    """
    ask = partial(predict_saved, boosters, num_threads=num_threads)
    if len(boosters) < SENT_FROM_BOOSTERS:
        return ask(columns)
    return np.vstack(map_blocks(ask, [columns[rows] for rows in row_slices(len(columns))]))


@contextmanager
def boosted_by(trainer: Trainer) -> Iterator[None]:
    """Train every booster within the block with `trainer`, and let it apply functions to blocks of rows."""
    _trainers.append(trainer)
    try:
        yield
    finally:
        _trainers.remove(trainer)
