"""The engine that is a Dask cluster: one on this machine for the run, or one whose scheduler runs already."""

import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Self, TypeVar

import dask
import pandas as pd
from dask import delayed
from distributed import Client, KilledWorker, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm.addressing import get_address_host, parse_address
from distributed.comm.core import CommClosedError
from distributed.protocol import pickle

from foretell.assets.engine.local import Engine, EngineError, cut_by, in_process, is_loopback
from foretell.assets.engine.tables import Table
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.fitting.boosting import blocks_mapped_by, map_here

T = TypeVar("T")
R = TypeVar("R")
LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 20
ROWS_WORTH_SENDING = 30_000_000
"""Of a smaller table keys, examples, floors and reports are made by the run itself: to share that work out costs more
than it saves (decision 1830)."""
MIN_BLOCKS = 4
"""Fewer blocks of rows are worked on by the run itself."""
BLOCKS_PER_WORKER = 3
"""Blocks that are sent at a time: the scheduler keeps what it may have to send again."""
TASKS_PER_WORKER = 32
"""Of more items some are one task, one after the other: a task costs 2 ms, whatever it does."""
BATCHES_PER_WORKER = 4
BATCH_BYTES = 128_000_000
"""A group costs by batches times batches (1 ms each and more), so small items are read together up to this size."""
WATCHED_RARELY = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
}
"""As often as Dask looks at itself by default, a cluster of two takes 9 % of a core, be it busy or not; so 4 %."""
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
        is_plain = scheduler is not None and parse_address(scheduler)[0] != "tls"
        if is_plain and not is_loopback(get_address_host(scheduler)):
            # What arrives on a connection is unpickled, which runs code: it must come from here or from a key holder.
            raise InvalidInputError(
                f"DASK_SCHEDULER_ADDRESS={scheduler} is neither on this machine nor of TLS: whoever answers there "
                "could run code in this process. Start the cluster with TLS and name it tls://... "
                "(docs/scaling.md, Clusters)"
            )
        self._scheduler, self._n_workers, self._worker_memory = scheduler, n_workers, worker_memory
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._closing.enter_context(blocks_mapped_by(self.map_blocks))
        return self

    def __exit__(self, *error: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Dask says of workers that take their time to end
            self._closing.close()
        vars(self).pop("client", None)

    @cached_property
    def client(self) -> Client:
        """The connection; made, with the cluster where none was named, when it is first asked for.

        Raises `EngineError` if no scheduler answers at the address.
        """
        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._closing.enter_context(dask.config.set(WATCHED_RARELY))
        address: Any = self._scheduler
        if address is None:
            address = self._closing.enter_context(
                LocalCluster(
                    n_workers=self._n_workers,
                    threads_per_worker=1,
                    memory_limit=self._worker_memory,
                    host=LOOPBACK,
                    security=True,  # a key of its own: other users of this machine reach loopback too
                    dashboard_address=f"{LOOPBACK}:0",
                    silence_logs=logging.ERROR,
                    preload="import os; os.dup2(2, 1)",  # what native code prints is no answer of the run
                )
            )
        try:
            return self._closing.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except OSError as error:
            raise EngineError(
                f"no Dask scheduler answers at {address} ({error}): start it, or unset DASK_SCHEDULER_ADDRESS"
            ) from error

    def _spool(self) -> AbstractContextManager[str | None]:
        """A folder for what workers of this machine make: TLS takes 7 ms a MB, a file 1. None if they are elsewhere."""
        return TemporaryDirectory(prefix="foretell-dask-") if self._scheduler is None else nullcontext()

    @property
    def n_workers(self) -> int:
        """Workers that are there now."""
        with self.guarded():
            return max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Say in our words what Dask raises when workers or the scheduler are lost."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sending large graph")
                yield
        except KilledWorker as error:
            raise EngineError(LOST_WORKERS.format(why=f"task {error.task}")) from error
        except (FutureCancelledError, CommClosedError, TimeoutError) as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise EngineError(LOST_SCHEDULER.format(why=why)) from error

    def over(self, table: Table) -> Engine:
        """See `Engine.over`; of files the workers, from `ROWS_WORTH_SENDING` on."""
        is_here = any(isinstance(part, pd.DataFrame) for part in table.parts)
        return in_process if is_here or table.n_rows < ROWS_WORTH_SENDING else self

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """See `Engine.map`."""
        if not items:
            return []
        with self.guarded(), self._spool() as spool:
            size = -(-len(items) // (TASKS_PER_WORKER * self.n_workers))
            batches = [items[start : start + size] for start in range(0, len(items), size)]
            done = self.client.gather(self.client.map(partial(_all, function, spool=spool), batches, pure=False))
            return [result for said in done for result in _fetched(said, spool)]

    def group(
        self, read: Callable[[T], pd.DataFrame], items: Sequence[T], by: str, function: Callable[[pd.DataFrame], R]
    ) -> list[R]:
        """See `Engine.group`: workers cut batches of items by `by`, and whoever makes a bundle fetches its cuts."""
        if not items:
            return []
        with self.guarded(), self._spool() as spool:
            n_batches = BATCHES_PER_WORKER * self.n_workers
            if len(items) > n_batches:
                sizes = self.map(partial(_size, read=read), [items[0], items[len(items) // 2], items[-1]])
                n_batches = max(n_batches, max(sizes) * len(items) // BATCH_BYTES)
            batches = [items[start::n_batches] for start in range(min(n_batches, len(items)))]
            n_bundles = max(len(batches), self.n_workers)
            cut = partial(_cut, read=read, by=by, n_bundles=n_bundles, spool=spool)
            cuts = [delayed(partial(cut, batch), nout=n_bundles)() for batch in batches]
            together = delayed(partial(_together, function=function, spool=spool))
            found = self.client.compute([together(list(pieces)) for pieces in zip(*cuts, strict=True)], sync=True)
            return list(chain.from_iterable(found))

    def map_blocks(self, function: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
        """`foretell.predictors.fitting.boosting.map_blocks` on the cluster: each block of rows is one task.

        Fewer than `MIN_BLOCKS` the run works on itself. A worker that dies costs the blocks that it was at;
        `EngineError` if that happens again and again.
        """
        if len(blocks) < MIN_BLOCKS:
            return map_here(function, blocks)
        results: list[R] = []
        at_once = BLOCKS_PER_WORKER * self.n_workers
        with self.guarded():
            # What the function holds (rows, a predictor) goes over as a task of its own: once, and again if lost.
            sent = self.client.submit(partial, function, pure=False)
            for start in range(0, len(blocks), at_once):
                wave = list(blocks[start : start + at_once])
                results += self.client.gather(self.client.map(operator.call, [sent] * len(wave), wave, pure=False))
        return results


def _left(result: object, spool: str | None) -> Any:
    """What a task says: its result or, on one machine, the name of the file that holds it."""
    if spool is None:
        return result
    with NamedTemporaryFile(dir=spool, delete=False) as file:
        file.write(pickle.dumps(result))
    return file.name


def _fetched(said: Any, spool: str | None) -> Any:
    return said if spool is None else pickle.loads(Path(said).read_bytes())


def _all(function: Callable[[T], R], items: Sequence[T], spool: str | None) -> Any:
    return _left([function(item) for item in items], spool)


def _size(item: T, read: Callable[[T], pd.DataFrame]) -> int:
    return int(read(item).memory_usage(deep=True).sum())


def _cut(
    items: Sequence[T], read: Callable[[T], pd.DataFrame], by: str, n_bundles: int, spool: str | None
) -> list[Any]:
    rows = pd.concat([read(item) for item in items], ignore_index=True)
    return [_left(piece, spool) for piece in cut_by(rows, by, n_bundles)]


def _together(pieces: Sequence[Any], function: Callable[[pd.DataFrame], R], spool: str | None) -> list[R]:
    full = [piece for piece in (_fetched(said, spool) for said in pieces) if len(piece)]
    return [function(pd.concat(full, ignore_index=True))] if full else []
