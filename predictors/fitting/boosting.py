"""LightGBM, and where the work of a fit that grows with its rows is done: here, or wherever the caller says.

What a predictor does row by row (reads texts, judges held-out runs) goes through `map_blocks`. Whoever
runs it may do that elsewhere with `blocks_mapped_by`; predictors do not know, and blocks are the same either way.
Boosters are trained in this process: they learn from a bounded number of rows (decision 1640).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ..arrays import Floats

T = TypeVar("T")
R = TypeVar("R")
Mapper: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Applies a function to blocks of work, perhaps twice to one; results in the order of the blocks."""
BLOCK_ROWS = 50_000
"""Rows of a block of work."""


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


def train_boosters(
    columns: Floats,
    target: Floats,
    weight: Floats | None,
    starts: Floats | None,
    parameters: Sequence[Mapping[str, Any]],
    *,
    n_rounds: int,
    n_categorical: int = 0,
) -> list[Any]:
    """Train a booster of `n_rounds` trees for each of `parameters` (`lightgbm_parameters`); bins are made once.

    Of `columns` (n_samples, n_columns) NaN is unknown, and the first `n_categorical` hold codes of categories. Each
    booster learns what it adds to its column of `starts` (n_samples, n_boosters), or all.
    """
    import lightgbm as lgb

    data = lgb.Dataset(
        columns, target, weight=weight, categorical_feature=list(range(n_categorical)), free_raw_data=False,
        params=dict(parameters[0]),
    )  # fmt: skip
    boosters = []
    for place, settings in enumerate(parameters):
        if starts is not None:
            data.set_init_score(np.ascontiguousarray(starts[:, place]))
        boosters.append(lgb.train(dict(settings), data, n_rounds))
    return boosters


def map_here(function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
    """One block after the other, in this process."""
    return [function(block) for block in blocks]


_mappers: list[Mapper] = [map_here]


def map_blocks(function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
    """Apply `function` to every block where `blocks_mapped_by` says; results in the order of the blocks.

    What `function` says of a row must not depend on the block that the row is in.
    """
    return _mappers[-1](function, blocks)


def row_slices(n_rows: int, size: int | None = None) -> list[slice]:
    """Consecutive rows in blocks of `size`, by default `BLOCK_ROWS`; one empty block of no rows."""
    step = BLOCK_ROWS if size is None else size
    return [slice(start, min(start + step, n_rows)) for start in range(0, max(n_rows, 1), step)]


@contextmanager
def blocks_mapped_by(mapper: Mapper) -> Iterator[None]:
    """Let `mapper` apply functions to blocks within the block."""
    _mappers.append(mapper)
    try:
        yield
    finally:
        _mappers.remove(mapper)
