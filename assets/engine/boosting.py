"""A fit beside a Dask cluster: blocks of rows go to its workers, boosters are trained in the run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from foretell.predictors.fitting.boosting import BoostingJob, train_here

if TYPE_CHECKING:
    from foretell.assets.engine.on_dask import DaskEngine

T = TypeVar("T")
R = TypeVar("R")

MIN_ROWS = 200_000
"""Of more rows than this a booster has a thread per worker: the cluster is there for the length of the fit."""
MIN_BLOCKS = 4
"""Fewer blocks of rows are worked on by the run itself."""
BLOCKS_PER_WORKER = 3
"""Blocks that are sent at a time: the scheduler keeps what it may have to send again."""


class DaskTrainer:
    """Works on blocks of rows on the cluster of an engine; a worker that dies costs the blocks that it was at.

    Boosters are trained by the run, and are those of a local run. LightGBM could train them on the workers together,
    but each would open a port to whoever calls, and the trees would be others.
    """

    def __init__(self, engine: DaskEngine, *, min_blocks: int = MIN_BLOCKS) -> None:
        self._engine = engine
        self._min_blocks = min_blocks

    def __call__(self, job: BoostingJob) -> list[Any]:
        """See `foretell.predictors.fitting.boosting.Trainer`."""
        if len(job.target) >= MIN_ROWS:
            n_threads = min(self._engine.n_workers, os.cpu_count() or 1)
            job = replace(job, parameters=[{**p, "num_threads": n_threads} for p in job.parameters])
        return train_here(job)

    def map(self, function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
        """See `foretell.predictors.fitting.boosting.Trainer.map`.

        Raises
        ------
        EngineError
            If workers died again and again at the same block, or the scheduler is lost.
        """
        if len(blocks) < self._min_blocks:
            return train_here.map(function, blocks)
        results: list[R] = []
        at_once = BLOCKS_PER_WORKER * self._engine.n_workers
        with self._engine.guarded(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            client = self._engine.client
            # The function may hold a fitted predictor: it goes over as a task of its own, once, and can be made again.
            sent = client.submit(_same, function, pure=False)
            for start in range(0, len(blocks), at_once):
                wave = list(blocks[start : start + at_once])
                results += client.gather(client.map(_apply, [sent] * len(wave), wave, pure=False))
        return results


def _same(function: Callable[[T], R]) -> Callable[[T], R]:
    return function


def _apply(function: Callable[[T], R], block: T) -> R:
    return function(block)
