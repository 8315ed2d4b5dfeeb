"""A fit on the workers of a Dask cluster: `lightgbm.dask` and blocks of rows behind `fitting.boosting`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from lightgbm.basic import LightGBMError

from foretell.assets.engine.local import EngineError
from foretell.predictors.fitting.boosting import BoostingJob, train_here

if TYPE_CHECKING:
    from foretell.assets.engine.on_dask import DaskEngine

T = TypeVar("T")
R = TypeVar("R")

MIN_ROWS = 200_000
"""Below this the boosters are trained by the run itself: a fit on the cluster costs about a second before it begins."""
MIN_BLOCKS = 4
"""Fewer blocks of rows are worked on by the run itself."""
BLOCKS_PER_WORKER = 3
"""Blocks that are sent at a time: the scheduler keeps what it may have to send again."""
ATTEMPTS = 3
WATCH_SECONDS = 1.0
NETWORK_MINUTES = 2
_SKLEARN_NAMES = {
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "bagging_freq": "subsample_freq",
    "lambda_l2": "reg_lambda",
    "seed": "random_state",
}


class DaskTrainer:
    """Trains boosters and works on blocks of rows on the cluster of an engine.

    A worker that dies costs the booster that was being trained, or the blocks that it was at.

    Parameters
    ----------
    engine : DaskEngine
    min_rows, min_blocks : int, optional
        Of fewer the run does the work itself.
    over_network : bool, optional
        Workers train boosters together, for which each opens a port on every interface, to whoever calls: LightGBM
        knows no other way. Without it the run trains with a thread per worker: the trees of a local run.
    """

    def __init__(
        self,
        engine: DaskEngine,
        min_rows: int | None = None,
        min_blocks: int = MIN_BLOCKS,
        *,
        over_network: bool = True,
    ) -> None:
        self._engine = engine
        self._over_network = over_network
        self._min_rows = min_rows
        self._min_blocks = min_blocks

    def __call__(self, job: BoostingJob) -> list[Any]:
        """See `foretell.predictors.fitting.boosting.Trainer`.

        Raises
        ------
        EngineError
            If workers were lost in each of three attempts.
        """
        if len(job.target) < (MIN_ROWS if self._min_rows is None else self._min_rows):
            return train_here(job)
        if not self._over_network:
            return train_here(
                replace(job, parameters=[{**p, "num_threads": self._engine.n_workers} for p in job.parameters])
            )
        return [self._train(job, head) for head in range(len(job.parameters))]

    def map(self, function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
        """See `foretell.predictors.fitting.boosting.Trainer.map`.

        Raises
        ------
        EngineError
            If workers died again and again at the same block, or the scheduler is lost.
        """
        if len(blocks) < self._min_blocks:
            return train_here.map(function, blocks)
        found: list[R] = []
        at_once = BLOCKS_PER_WORKER * self._engine.n_workers
        with self._engine.guarded(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            client = self._engine.client
            # The function may hold a fitted predictor: it goes over as a task of its own, once, and can be made again.
            sent = client.submit(_same, function, pure=False)
            for start in range(0, len(blocks), at_once):
                wave = list(blocks[start : start + at_once])
                found += client.gather(client.map(_apply, [sent] * len(wave), wave, pure=False))
        return found

    def _train(self, job: BoostingJob, head: int) -> Any:
        why = ""
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(job, head)
            except (_WorkerLost, LightGBMError) as error:
                why = str(error).splitlines()[0]
        raise EngineError(f"workers were lost in {ATTEMPTS} attempts to train ({why}); start the run again")

    def _attempt(self, job: BoostingJob, head: int) -> Any:
        """Train one booster while watching that the workers stay: LightGBM itself would wait for them for hours."""
        before = self._engine.worker_ids()
        with ThreadPoolExecutor(1) as pool, self._engine.guarded():
            training = pool.submit(self._fit, job, head)
            while not wait([training], WATCH_SECONDS).done:
                lost = before - self._engine.worker_ids()
                if lost:
                    self._engine.restart_workers(len(before))  # which ends the waiting of the others, and of `_fit`
                    raise _WorkerLost(f"{len(lost)} of {len(before)} workers died while they trained")
            try:
                return training.result()
            except LightGBMError:  # the others may notice first that a worker is gone
                self._engine.restart_workers(len(before))
                raise

    def _fit(self, job: BoostingJob, head: int) -> Any:
        import dask.array as da
        from lightgbm import DaskLGBMRegressor

        n = len(job.target)
        chunk = -(-n // self._engine.n_workers)
        cut = {
            name: da.from_array(values, chunks=(chunk, *values.shape[1:]))
            for name, values in (
                ("X", job.columns),
                ("y", job.target),
                ("sample_weight", job.weight),
                ("init_score", np.ascontiguousarray(job.starts[:, head])),
            )
        }
        # LightGBM prints which ports it tries; standard output belongs to the answer of the run.
        with warnings.catch_warnings(), redirect_stdout(sys.stderr), self._engine.client.as_current():
            warnings.simplefilter("ignore")  # "n_jobs will be ignored", and large graphs
            model = DaskLGBMRegressor(client=self._engine.client, **_arguments(job.parameters[head], job.n_rounds))
            model.fit(**cut, categorical_feature=list(job.categorical))
        return model.booster_


def _same(function: Callable[[T], R]) -> Callable[[T], R]:
    return function


def _apply(function: Callable[[T], R], block: T) -> R:
    return function(block)


class _WorkerLost(Exception):
    """A worker went away while it trained."""


def _arguments(parameters: Mapping[str, Any], n_rounds: int) -> dict[str, Any]:
    """LightGBM's parameters by the names of its scikit-learn interface, which would else pass its defaults too."""
    named = {_SKLEARN_NAMES.get(name, name): value for name, value in parameters.items() if name != "num_threads"}
    return {**named, "n_estimators": n_rounds, "time_out": NETWORK_MINUTES, "tree_learner": "data"}
