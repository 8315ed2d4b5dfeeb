"""The seam: what an engine can do, which this process does itself."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from ipaddress import ip_address
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from foretell.assets.engine.tables import Table
from foretell.predictors.errors import ForecastError, InvalidInputError

T = TypeVar("T")
R = TypeVar("R")
ENGINES = ("local", "dask")
BYTES_AT_ONCE = 256_000_000
"""What `group` holds together before its functions see it; of more, the groups wait on disk."""


class EngineError(ForecastError):
    """The engine lost its workers or its scheduler; what was done is whole, and the run can be started again."""


def nobody(n: int, of: int) -> None:
    """Who is told how many items of a map are done, where nobody asked."""


class Engine:
    """Two verbs, done by this process: memory holds one item, or one bundle of a group.

    Functions must not depend on how items are cut, nor on the order in which they are worked on; where an engine has
    workers a function may run twice, so what it writes must be whole or not at all. `EngineError` is raised if workers
    or the scheduler are lost for good; errors of functions come through as they are.
    """

    name = "local"

    def __init__(self, bytes_at_once: int = BYTES_AT_ONCE) -> None:
        self.bytes_at_once = bytes_at_once
        self.told: Callable[[int, int], None] = nobody

    @property
    def n_workers(self) -> int:
        """Items that are worked on at the same time."""
        return 1

    def over(self, table: Table) -> "Engine":
        """Who works on a table: this engine, or the run itself where that costs less than to send it."""
        return self

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Apply `function` to every item; results in the order of the items."""
        results = []
        for n, item in enumerate(items, start=1):
            results.append(function(item))
            self.told(n, len(items))
        return results

    def group(
        self, read: Callable[[T], pd.DataFrame], items: Sequence[T], by: str, function: Callable[[pd.DataFrame], R]
    ) -> list[R]:
        """Bring rows together and apply `function` to each bundle, none of which is empty.

        Rows whose column `by` (an unsigned integer, such as a hash) is equal end in the same bundle, whatever
        items they were read from. `read` should keep to narrow columns: they are what moves. Beyond `bytes_at_once`
        the bundles wait in a temporary folder.
        """
        held: list[pd.DataFrame] = []
        n_bytes, frames = 0, map(read, items)
        for position, frame in enumerate(frames, start=1):
            held.append(frame)
            n_bytes += int(frame.memory_usage(index=False).sum())
            if n_bytes > self.bytes_at_once:
                n_bundles = 1 + n_bytes * len(items) // (position * self.bytes_at_once)
                given_up = (held.pop(0) for _ in range(len(held)))
                return _group_on_disk(chain(given_up, frames), by, function, n_bundles)
        return [function(pd.concat(held, ignore_index=True))] if n_bytes else []


def _group_on_disk(
    frames: Iterable[pd.DataFrame], by: str, function: Callable[[pd.DataFrame], R], n_bundles: int
) -> list[R]:
    with tempfile.TemporaryDirectory(prefix="foretell-group-") as name:
        folder = Path(name)
        for position, frame in enumerate(frames):
            for bundle, rows in enumerate(cut_by(frame, by, n_bundles)):
                if len(rows):
                    (folder / str(bundle)).mkdir(exist_ok=True)
                    rows.to_parquet(folder / str(bundle) / f"{position:05d}.parquet", index=False)
        bundles = sorted(folder.iterdir(), key=lambda path: int(path.name))
        return [function(pd.read_parquet(bundle)) for bundle in bundles]


def cut_by(frame: pd.DataFrame, by: str, n_bundles: int) -> list[pd.DataFrame]:
    """The rows of each bundle: those whose column `by` (an unsigned integer) leaves the same rest."""
    bundle = (frame[by].to_numpy() % np.uint64(n_bundles)).astype(np.uint16)  # sorts by counting
    order = np.argsort(bundle, kind="stable")
    ends = np.searchsorted(bundle, np.arange(n_bundles + 1), sorter=order)
    return [frame.take(order[start:end]).reset_index(drop=True) for start, end in pairwise(ends)]


_open: list[Engine] = []
in_process = Engine()


def current_engine() -> Engine:
    """The engine of the innermost `open_engine`, else this process."""
    return _open[-1] if _open else in_process


@contextmanager
def open_engine(
    name: str = "local", *, scheduler: str | None = None, n_workers: int = 2, worker_memory: str = "auto"
) -> Iterator[Engine]:
    """Work on the engine named ``local`` or ``dask`` until the block ends; within a block of the same, join that.

    Without the address of a `scheduler` that runs already, Dask starts a cluster on this machine when the first work
    comes, of `n_workers` processes with one thread each that may hold `worker_memory` such as ``"4GB"`` (by default an
    equal share of the machine), and stops it with the block. Raises `InvalidInputError` if there is no such engine, or
    Dask is not installed.
    """
    if name not in ENGINES:
        raise InvalidInputError(f"`FORETELL_ENGINE` must be one of {', '.join(ENGINES)}, got {name!r}")
    if name == current_engine().name:
        yield current_engine()
        return
    opened: AbstractContextManager[Engine] = nullcontext(in_process)
    if name == "dask":
        try:
            from foretell.assets.engine.on_dask import DaskEngine
        except ImportError as error:
            raise InvalidInputError(
                f"`FORETELL_ENGINE=dask` needs Dask ({error}): pip install 'foretell[dask]', or unset it"
            ) from error
        opened = DaskEngine(scheduler, n_workers=n_workers, worker_memory=worker_memory)
    with opened as engine:
        _open.append(engine)
        try:
            yield engine
        finally:
            _open.remove(engine)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nothing leaves it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
