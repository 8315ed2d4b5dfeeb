"""Rules over all days of `request_traces`, for tables that are curated day by day.

A day is validated on its own, so that a night touches only the day that ended. Two rules need all days: a key
(`source`, `request_id`) names one request, and the runs of a query are numbered over all days. They are applied where
days come together (examples, floors, reports), so that a day that lands late changes no other day's table. Only keys
move between the parts of a table, never the text of a prompt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from foretell.assets.engine import Engine, Part, Table, current_engine, read_part
from foretell.assets.engine.tables import WhileUnchanged, stacked
from foretell.predictors.schemas.quarantine import Quarantine

KEY = ["source", "request_id"]
DRAW_KEY = "foretell: a draw"
"""Sixteen characters: another hash than the one by which rows are bundled."""
CELL = ["query_id", "model", "config_hash"]
LOST = ["part", "row", "first_day"]
REPLICATES = ["part", "row", "replicate"]
REASON = "the key came before, on {day} (`source`, `request_id` must name one request over all days)"
REMEDY = "give sources that number their requests alike different names"

_keys = WhileUnchanged[pd.DataFrame]()
"""A night asks for repeated keys in five steps."""
Numbered: TypeAlias = tuple[int, Part]
"""A part and its position in the table."""
InPlay: TypeAlias = tuple[int, Part, NDArray[np.int32]]
"""The same, with its rows that share a hash with another."""


@dataclass(frozen=True, eq=False)
class AcrossDays:
    """What the rules over all days say of a table.

    `repeated` are requests whose key came before (`part`, `row` as positions, `first_day`); `replicates` runs that are
    not the first of their cell (`part`, `row`, `replicate`), of the `share` of queries that are drawn.
    """

    repeated: pd.DataFrame
    replicates: pd.DataFrame
    share: float = 1.0

    def once(self, position: int, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of part `position` (as many as it has) whose key did not come before."""
        return frame.drop(index=frame.index[rows_of_part(self.repeated, position)["row"]])

    def apply(self, position: int, frame: pd.DataFrame) -> pd.DataFrame:
        """The same rows, of queries that are drawn, with `replicate` counted over all days."""
        stays = is_drawn(frame["query_id"], self.share)
        stays[rows_of_part(self.repeated, position)["row"]] = False
        numbers = np.zeros(len(frame), dtype=np.int64)
        own = rows_of_part(self.replicates, position)
        numbers[own["row"]] = own["replicate"]
        return frame[stays].assign(replicate=pd.array(numbers[stays], dtype="Int64"))

    def of_part(self, position: int) -> "AcrossDays":
        """What concerns one part: all that has to travel with it."""
        return AcrossDays(rows_of_part(self.repeated, position), rows_of_part(self.replicates, position), self.share)


def rules_across_days(traces: Table, engine: Engine | None = None, *, share: float = 1.0) -> AcrossDays:
    """Find keys that came before on another day, and number the runs of each query on a model and configuration.

    Of several requests with one key the earliest stays; within a part keys are unique. Runs are numbered by time, then
    key, of the `share` of queries that are drawn.
    """
    engine = (engine or current_engine()).over(traces)
    repeated = repeated_keys(traces, engine)
    again = _exact(engine, traces, CELL, _replicates, REPLICATES, without=repeated, share=share)
    return AcrossDays(repeated, again, share)


def repeated_keys(traces: Table, engine: Engine | None = None) -> pd.DataFrame:
    """`AcrossDays.repeated` alone, which needs no look at queries."""
    if len(traces.parts) < 2:
        return _stacked([], LOST)
    engine = (engine or current_engine()).over(traces)
    return _keys.get((traces.stamp, engine.name), lambda: _exact(engine, traces, KEY, _repeated, LOST))


def _exact(
    engine: Engine,
    traces: Table,
    by: list[str],
    rule: Callable[[pd.DataFrame], pd.DataFrame],
    columns: list[str],
    without: pd.DataFrame | None = None,
    share: float = 1.0,
) -> pd.DataFrame:
    """Apply `rule` to the rows that share `by` with another: found by hashes, of which alone all rows take part."""
    parts = list(enumerate(traces.parts))
    found = engine.group(partial(_hashes, by=by, share=share), parts, "bundle", _in_play)
    in_play = _stacked(found, ["part", "row"])
    jobs: list[InPlay] = []
    for position, part in parts:
        rows = rows_of_part(in_play, position)["row"].to_numpy()
        if without is not None:
            rows = np.setdiff1d(rows, rows_of_part(without, position)["row"].to_numpy(), assume_unique=True)
        if len(rows):
            jobs.append((position, part, rows))
    return _stacked(engine.group(partial(_rows_in_play, by=by), jobs, "bundle", rule), columns)


def repeated_requests(traces: Table, repeated: pd.DataFrame) -> pd.DataFrame:
    """The requests whose key came before, as rows of `Quarantine`."""
    told = []
    for position, rows in repeated.groupby("part"):
        columns = ["source_file", "source_line", "source", "request_id", "model"]
        frame = read_part(traces.parts[int(str(position))], columns).iloc[rows["row"].to_numpy()]
        reasons = [REASON.format(day=day) for day in rows["first_day"]]
        told.append(frame.assign(reason=reasons, remedy=REMEDY))
    nothing = pd.DataFrame(columns=list(Quarantine.to_schema().columns))
    return Quarantine.validate(pd.concat([nothing, *told], ignore_index=True))


def whole_traces(traces: Table) -> pd.DataFrame:
    """All days in this process, under the rules across days."""
    rules = rules_across_days(traces)
    return stacked([rules.apply(position, read_part(part)) for position, part in enumerate(traces.parts)])


def _hashes(item: Numbered, by: list[str], share: float) -> pd.DataFrame:
    position, part = item
    if share < 1:
        row = np.flatnonzero(is_drawn(read_part(part, ["query_id"])["query_id"], share)).astype(np.int32)
        frame = read_part(part, by).iloc[row]
    else:
        frame = read_part(part, by)
        row = np.arange(len(frame), dtype=np.int32)
    return pd.DataFrame({"part": np.int32(position), "row": row, "bundle": query_bundles(frame)})


def _in_play(rows: pd.DataFrame) -> pd.DataFrame:
    ordered = np.sort(rows["bundle"].to_numpy())  # with a look-up of what is there twice the quickest: few are
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    return rows.loc[rows["bundle"].isin(twice) if len(twice) else [], ["part", "row"]]


def _rows_in_play(job: InPlay, by: list[str]) -> pd.DataFrame:
    position, part, rows = job
    frame = read_part(part, list(dict.fromkeys([*by, *KEY, "started_at"]))).iloc[rows]
    return frame.assign(part=np.int32(position), row=rows, bundle=query_bundles(frame[by]))


def _repeated(keys: pd.DataFrame) -> pd.DataFrame:
    several = keys[keys.duplicated(KEY, keep=False)].sort_values([*KEY, "started_at", "part"], kind="stable")
    times = pd.to_datetime(several["started_at"], utc=True)
    first = times.groupby([several[name] for name in KEY]).transform("first").dt.strftime("%Y-%m-%d")
    several = several.assign(first_day=first.fillna("a day that is not known"))
    return several.loc[several.duplicated(KEY), LOST]


def _replicates(runs: pd.DataFrame) -> pd.DataFrame:
    order = runs[runs.duplicated(CELL, keep=False)].sort_values([*CELL, "started_at", *KEY], kind="stable")
    numbered = order.assign(replicate=order.groupby(CELL).cumcount())
    return numbered.loc[numbered["replicate"] > 0, REPLICATES]


def rows_of_part(table: pd.DataFrame, position: int) -> pd.DataFrame:
    """The rows of a table sorted by `part` that concern one."""
    first, end = np.searchsorted(table["part"].to_numpy(), [position, position + 1])
    return table.iloc[first:end]


def _stacked(tables: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    nothing = pd.DataFrame({name: np.empty(0, dtype=np.int32) for name in columns})
    return stacked([nothing, *tables]).sort_values(["part", "row"], ignore_index=True)


def query_bundles(keys: pd.Series | pd.DataFrame) -> NDArray[np.uint64]:
    """What brings the rows of a query (of a key of several columns) together in `Engine.group`, shape (n_rows,).

    DuckDB's hash of the columns as text, which makes no object of a row. What rests on it is the same for any hash:
    only how many rows are compared by their keys depends on it.
    """
    columns = [keys] if isinstance(keys, pd.Series) else [keys[name] for name in keys]
    table = pa.table({f"k{place}": pa.array(column) for place, column in enumerate(columns)})
    texts = ", ".join(f"{name}::VARCHAR" for name in table.column_names)
    with _duckdb().cursor() as cursor:
        hashes = cursor.from_arrow(table).project(f"hash({texts}) AS h").fetchnumpy()["h"]
    return np.asarray(hashes, dtype=np.uint64)


@cache
def _duckdb() -> Any:
    """A database in memory, of one thread; opening one takes longer than to hash a small day."""
    import duckdb

    return duckdb.connect(config={"threads": 1})


def is_drawn(query_id: pd.Series, share: float) -> NDArray[np.bool_]:
    """Whether the query of each row is among the drawn ones, shape (n_rows,).

    A query is drawn by its hash: with all its rows, in every part of a table, and every night again. Splits are drawn
    by another hash (`foretell.predictors.splits`), so a sample keeps their shares.

    Examples
    --------
    >>> is_drawn(pd.Series(["a", "b", "a", "c"]), 0.5).tolist()
    [False, True, False, False]
    """
    if share >= 1:
        return np.ones(len(query_id), dtype=np.bool_)
    hashes = pd.util.hash_pandas_object(query_id, index=False, hash_key=DRAW_KEY, categorize=False)
    drawn: NDArray[np.bool_] = hashes.to_numpy() < np.uint64(share * 2**64)
    return drawn
