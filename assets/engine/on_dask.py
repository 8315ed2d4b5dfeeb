"""The engine that is a Dask cluster: one on this machine for the run, or one whose scheduler runs already."""

import logging
import operator
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from typing import Any, Self, TypeVar

import dask
import pandas as pd
from dask import dataframe as dask_frames
from dask import delayed
from distributed import Client, KilledWorker, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm.addressing import get_address_host, parse_address
from distributed.comm.core import CommClosedError
from distributed.diagnostics.plugin import WorkerPlugin

from foretell.assets.engine.local import Engine, EngineError, is_loopback
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.fitting.boosting import blocks_mapped_by, map_here

T = TypeVar("T")
R = TypeVar("R")
LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 20
MIN_BLOCKS = 4
"""Fewer blocks of rows are worked on by the run itself."""
BLOCKS_PER_WORKER = 3
"""Blocks that are sent at a time: the scheduler keeps what it may have to send again."""
BATCHES_PER_WORKER = 4
BATCH_BYTES = 128_000_000
"""A shuffle costs by batches times batches (1 ms each and more), so small items are read together up to this size."""
LOST_WORKERS = (
    "a worker died again and again at the same work, most often because its memory did not suffice ({why}); "
    "give workers more memory or cut the table into smaller parts, and start the run again"
)
LOST_SCHEDULER = (
    "the Dask scheduler is gone or was restarted ({why}); what was written is whole: start the run again once it is up"
)


class DaskEngine(Engine):
    """A Dask cluster that does the work. Nothing is started before the first comes."""

    name = "dask"

    def __init__(self, scheduler: str | None = None, *, n_workers: int = 2, worker_memory: str = "auto") -> None:
        super().__init__()
        if scheduler is not None:
            _refuse_strangers(scheduler)
        self._scheduler, self._n_workers, self._worker_memory = scheduler, n_workers, worker_memory
        self._client: Client | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._closing.enter_context(blocks_mapped_by(self.map_blocks))
        return self

    def __exit__(self, *error: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Dask says of workers that take their time to end
            self._closing.close()
        self._client = None

    @property
    def client(self) -> Client:
        """The connection; made, with the cluster where none was named, when it is first asked for.

        Raises `EngineError` if no scheduler answers at the address.
        """
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client:
        logging.getLogger("distributed").setLevel(logging.ERROR)
        address: Any = self._scheduler
        is_ours = address is None
        if is_ours:
            address = self._closing.enter_context(
                LocalCluster(
                    n_workers=self._n_workers,
                    threads_per_worker=1,
                    memory_limit=self._worker_memory,
                    host=LOOPBACK,
                    security=True,  # a key of its own: other users of this machine reach loopback too
                    dashboard_address=f"{LOOPBACK}:0",
                    silence_logs=logging.ERROR,
                )
            )
        try:
            client = self._closing.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
            if is_ours:
                client.register_plugin(_StdoutToStderr())
            return client
        except OSError as error:
            raise EngineError(
                f"no Dask scheduler answers at {address} ({error}): start it, or unset DASK_SCHEDULER_ADDRESS"
            ) from error

    @property
    def n_workers(self) -> int:
        """Workers that are there now."""
        with self.guarded():
            return max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Say in our words what Dask raises when workers or the scheduler are lost."""
        try:
            yield
        except KilledWorker as error:
            raise EngineError(LOST_WORKERS.format(why=f"task {error.task}")) from error
        except (FutureCancelledError, CommClosedError, TimeoutError) as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise EngineError(LOST_SCHEDULER.format(why=why)) from error

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """See `Engine.map`."""
        if not items:
            return []
        with self.guarded(), _quiet():
            found: list[R] = self.client.gather(self.client.map(function, items, pure=False, batch_size=1000))
            return found

    def fold(self, function: Callable[[T], R], items: Sequence[T], merge: Callable[[R, R], R]) -> R:
        """See `Engine.fold`; results are merged by the run."""
        return reduce(merge, self.map(function, items))

    def group(
        self, read: Callable[[T], pd.DataFrame], items: Sequence[T], by: str, function: Callable[[pd.DataFrame], R]
    ) -> list[R]:
        """See `Engine.group`; Dask's own shuffle."""
        if not items:
            return []
        with self.guarded(), _quiet(), dask.config.set({"dataframe.convert-string": False}):
            looked_at = [items[0], items[len(items) // 2], items[-1]]
            looks = self.client.gather(self.client.map(_look, looked_at, read=read, pure=False))
            n_bytes = max(size for _, size in looks) * len(items)
            n_batches = min(len(items), max(BATCHES_PER_WORKER * self.n_workers, n_bytes // BATCH_BYTES))
            batches = [items[start::n_batches] for start in range(n_batches)]
            frames = dask_frames.from_map(partial(_read_all, read=read), batches, meta=looks[0][0])
            bundles = frames.shuffle(on=by, npartitions=max(n_batches, self.n_workers)).to_delayed()
            found = self.client.compute([delayed(_unless_empty)(function, bundle) for bundle in bundles], sync=True)
            return [result for (result,) in filter(None, found)]

    def map_blocks(self, function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
        """`foretell.predictors.fitting.boosting.map_blocks` on the cluster: each block of rows is one task.

        Fewer than `MIN_BLOCKS` the run works on itself. A worker that dies costs the blocks that it was at;
        `EngineError` if that happens again and again.
        """
        if len(blocks) < MIN_BLOCKS:
            return map_here(function, blocks)
        results: list[R] = []
        at_once = BLOCKS_PER_WORKER * self.n_workers
        with self.guarded(), _quiet():
            # What the function holds (rows, a predictor) goes over as a task of its own: once, and again if lost.
            sent = self.client.submit(_same, function, pure=False)
            for start in range(0, len(blocks), at_once):
                wave = list(blocks[start : start + at_once])
                results += self.client.gather(self.client.map(operator.call, [sent] * len(wave), wave, pure=False))
        return results


def _same(function: Callable[[T], R]) -> Callable[[T], R]:
    return function


def _refuse_strangers(scheduler: str) -> None:
    """What arrives on a connection of Dask is unpickled, which runs code: it must come from here or from a key holder.

    Raises `InvalidInputError` if the address is neither on loopback nor of TLS.
    """
    if parse_address(scheduler)[0] != "tls" and not is_loopback(get_address_host(scheduler)):
        raise InvalidInputError(
            f"DASK_SCHEDULER_ADDRESS={scheduler} is neither on this machine nor of TLS: whoever answers there could "
            "run code in this process. Start the cluster with TLS and name it tls://... (docs/scaling.md, Clusters)"
        )


class _StdoutToStderr(WorkerPlugin):
    """What native code prints in our own workers must not mix with the answer of the run."""

    name = "foretell-stdout"

    def setup(self, worker: Any) -> None:
        os.dup2(2, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        yield


def _look(item: T, read: Callable[[T], pd.DataFrame]) -> tuple[pd.DataFrame, int]:
    """What an item's rows look like, and their bytes."""
    rows = read(item)
    return rows.iloc[:0], int(rows.memory_usage(deep=True).sum())


def _read_all(items: Sequence[T], read: Callable[[T], pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([read(item) for item in items], ignore_index=True)


def _unless_empty(function: Callable[[pd.DataFrame], R], bundle: pd.DataFrame) -> tuple[R] | tuple[()]:
    return (function(bundle.reset_index(drop=True)),) if len(bundle) else ()
