"""The canonical tables beside `request_traces`: one value each, one mechanism for all.

A table is cut into parts, one for each UTC day on which its rows began, and ``undated`` for those that tell no time.
Landing writes the rows of a file by table and part (`table_landing`), curation makes a part anew when what landed for
it has changed (`table_curation`), and so a night costs what is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from foretell.assets.engine import Table
from foretell.assets.readers.core.normalise import as_number, epoch_us
from foretell.assets.readers.core.records import Reject, Row
from foretell.predictors.schemas.lake import CONTRACTS, Landed

UNDATED = "undated"
"""The part of rows that tell no time."""
CONTRACT_VERSION = 1
"""Raised when a contract or the rules of curation change: every part is made anew."""
PLACE = ("source_file", "source_line")
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class LakeTable:
    """One canonical table: its contract has its columns and rules, `description` says what one row is.

    `settles` names a flag that may become true when a record is delivered again: of rows that differ in nothing else
    the one of which it is true is kept.
    """

    name: str
    description: str
    settles: str | None = None

    @property
    def contract(self) -> type[Landed]:
        """Its columns and rules."""
        return CONTRACTS[self.name]

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """Columns of the contract, by name."""
        return dict(self.contract.to_schema().columns)

    @cached_property
    def key(self) -> list[str]:
        """Columns that name a record."""
        return list(self.contract.to_schema().unique or ())

    @cached_property
    def arrow(self) -> pa.Schema:
        """The columns as a landed file holds them."""
        return pa.schema([(name, _arrow_type(column.dtype)) for name, column in self.columns.items()])

    def typed(self, row: Row, number: int | None) -> Row | Reject:
        """A reader's row with the types of the table, or why it can be none."""
        out: Row = {}
        for name, kind in zip(self.arrow.names, self.arrow.types, strict=True):
            value = row.get(name)
            out[name] = cast = None if _is_unknown(value) else _as(kind, value)
            if cast is None and (not _is_unknown(value) or not self.columns[name].nullable) and name not in PLACE:
                seen = "is unknown" if _is_unknown(value) else f"is no {_WORDS[str(kind)]}"
                remedy = f"give `{name}` in every record; docs/formats.md says what {self.name} wants"
                return Reject(f"`{name}` {seen}", number, remedy)
        return out

    def folder(self, lake: Path) -> Path:
        """Where its parts lie."""
        return lake / self.name

    def read(self, lake: Path) -> pd.DataFrame:
        """All rows, of each key one: that of the first part, where an undated record came again with its day."""
        try:
            frame = Table.under(self.folder(lake)).collect()
        except FileNotFoundError:
            frame = self.empty()
        return frame.drop_duplicates(self.key, ignore_index=True)

    def empty(self) -> pd.DataFrame:
        """The table without rows."""
        frame: pd.DataFrame = self.contract.validate(self.arrow.empty_table().to_pandas(), lazy=True)
        return frame


def _arrow_type(dtype: Any) -> pa.DataType:
    text = str(dtype)
    if text.startswith("datetime64"):
        return pa.timestamp("us", "UTC")
    kinds = {"float64": pa.float64(), "Int64": pa.int64(), "bool": pa.bool_(), "boolean": pa.bool_()}
    return kinds.get(text, pa.string())


_WORDS = {"double": "number", "int64": "whole number", "bool": "yes or no", "timestamp[us, tz=UTC]": "time",
          "string": "text"}  # fmt: skip


def _is_unknown(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, str) and not value.strip()) or value is pd.NaT


def _as(kind: pa.DataType, value: Any) -> Any:
    """The value as the type that a column has; None where it is none."""
    if pa.types.is_string(kind):
        return None if isinstance(value, float) and value != value else str(value)
    if pa.types.is_timestamp(kind):
        return epoch_us(value)
    if pa.types.is_boolean(kind):
        return value if isinstance(value, bool) else _TRUTHS.get(str(value).strip().lower().removesuffix(".0"))
    if pa.types.is_floating(kind) and isinstance(value, float) and value != value:
        return value  # NaN says something: a training run has diverged
    number = as_number(value)
    if number is None or pa.types.is_floating(kind):
        return number
    return int(number) if number.is_integer() and abs(number) < 2**63 else None


_TABLES = (
    LakeTable("benchmark_runs", "One row per run, item, replicate, metric and filter: what a model scored."),
    LakeTable("benchmark_descriptions", "One row per source and benchmark: what it asks, in words."),
    LakeTable("models", "One row per source and model: size, release, prices, whether it reasons."),
    LakeTable("training_curves", "One row per training run, step, metric and seed.", settles="is_finished"),
    LakeTable("ladder_measurements", "One row per model of a ladder and benchmark: compute and score."),
)
TABLES: Mapping[str, LakeTable] = {table.name: table for table in _TABLES}
"""The canonical tables beside `request_traces`, by name."""
