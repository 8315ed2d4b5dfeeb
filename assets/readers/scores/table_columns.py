"""Rows of the canonical tables as CSV, Parquet or JSONL, by their columns or through a column map.

A column map says our name and that of the table, ``score: accuracy``, or a value for all rows, ``benchmark: =gsm8k``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.normalise import as_number, canonical_json, first
from foretell.assets.readers.core.records import ReadOptions, Reject, Row, records_of
from foretell.assets.readers.core.stream import head_of
from foretell.assets.readers.spellings import spellings, spelt
from foretell.assets.readers.traces.tabular import column_names, table_items
from foretell.predictors.learning_curves.curves import lower_is_better
from foretell.predictors.schemas.lake import CONTRACTS

Item = tuple[str, Row]
FLOPS_PER_PARAM_TOKEN = 6.0
_IN_POINTS = ("benchmark_runs", "ladder_measurements")
_POINTS = ("score", "standard_error", "standard_error_reported", "chance_score", "upper_score")
"""Columns of these tables that are points, 0-100."""


@dataclass(frozen=True)
class TableColumns:
    """Reader of one canonical table by its columns.

    Of each group in `needs` one column must be there; `others` are other names that are read as a column of ours.
    """

    name: str
    table: str
    needs: Sequence[Sequence[str]]
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def sniff(self, head: bytes, path: Path) -> bool:
        """True where every group of `needs` is among the columns."""
        return self._fits(set(self._map(column_names(head, path), {})))

    def is_meant(self, head: bytes, path: Path, told: Mapping[str, str]) -> bool:
        """True where a column map is one for this table, and completes what the columns lack."""
        is_ours = set(told) <= set(CONTRACTS[self.table].to_schema().columns)
        return is_ours and self._fits(set(self._map(column_names(head, path), told)))

    def rows(self, path: Path, options: ReadOptions) -> Iterator[Item | Reject]:
        """Stream the rows of the table."""
        names = column_names(head_of(path), path)
        columns = self._map(names, options.columns)
        if not self._fits(set(columns)):
            wanted = ", ".join(" or ".join(group) for group in self.needs)
            remedy = f"{self.table} wants the columns {wanted}: name them with --columns MAP.yaml"
            yield Reject("columns are missing", 1, remedy, is_file=True)
            return
        scale = 100.0 if self.table in _IN_POINTS and _are_shares(path, columns) else 1.0
        yield from records_of(table_items(path), partial(self._row, columns=columns, path=path, scale=scale))

    def _fits(self, names: set[str]) -> bool:
        return all(names.intersection(group) for group in self.needs)

    def _map(self, names: set[str], told: Mapping[str, str]) -> dict[str, str]:
        """Our columns -> theirs, or ``=value``."""
        known = spelt(names)
        found = {}
        for name in CONTRACTS[self.table].to_schema().columns:
            theirs = told.get(name) or next((known[n] for n in (name, *self.others.get(name, ())) if n in known), None)
            if theirs is not None and (theirs in names or theirs.startswith("=")):
                found[name] = theirs
        return found

    def _row(
        self, number: int, item: dict[str, Any], *, columns: dict[str, str], path: Path, scale: float
    ) -> Iterator[Item]:
        row: Row = {ours: theirs[1:] if theirs[:1] == "=" else item.get(theirs) for ours, theirs in columns.items()}
        row = {name: None if isinstance(value, float) and value != value and name != "value" else value
               for name, value in row.items()}  # fmt: skip
        if scale != 1.0:
            row |= {name: scale * told for name in _POINTS if (told := as_number(row.get(name))) is not None}
        yield self.table, {**_FILLED[self.table](row, path), "source_line": number}


def _are_shares(path: Path, columns: Mapping[str, str]) -> bool:
    """Whether the scores of a table, none of which is one of an item, are all shares: points of a model exceed 1."""
    theirs = columns["score"]
    if "item_id" in columns or theirs.startswith("="):
        return False
    items = [item[1] for item in table_items(path) if not isinstance(item, Reject)]
    if any(lower_is_better(str(item.get(columns.get("metric", "")))) for item in items):
        return False  # a loss below 1 is no share
    scores = [score for item in items if (score := as_number(item.get(theirs))) is not None]
    return bool(scores) and min(scores) >= 0 and max(scores) <= 1 and any(0 < score < 1 for score in scores)


def _run(row: Row, path: Path) -> Row:
    asked = [first(row.get(name), "") for name in ("model", "benchmark", "n_shot", "config")]
    return {
        "item_id": "*", "replicate": 0, "metric": "score", "filter": "none", "higher_is_better": True,
        "harness": "table", **_known(row), "run_id": first(row.get("run_id"), "/".join(map(str, asked))),
    }  # fmt: skip


def _curve(row: Row, path: Path) -> Row:
    told = "/".join(str(first(row.get(name), "")) for name in ("dataset", "learner", "seed"))
    curve = str(first(row.get("curve_id"), told))
    return {
        "metric": "value", "dataset": path.stem, "resource_unit": "steps", "is_finished": True,
        **_known(row), "curve_id": curve, "learner": first(row.get("learner"), curve),
        "higher_is_better": first(row.get("higher_is_better"), not lower_is_better(str(first(row.get("metric"), "")))),
    }  # fmt: skip


def _rung(row: Row, path: Path) -> Row:
    n_params, n_tokens = as_number(row.get("n_params")), as_number(row.get("n_train_tokens"))
    flops = FLOPS_PER_PARAM_TOKEN * n_params * n_tokens if n_params and n_tokens else None
    return {"family": path.stem, "item_id": "*", "is_final": True, "train_flops": flops, **_known(row)}


def _as_it_is(row: Row, path: Path) -> Row:
    lists = {name: canonical_json(value).decode() for name, value in row.items() if isinstance(value, list | dict)}
    return {**row, **lists}


def _known(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None and value != ""}


_FILLED = {"benchmark_runs": _run, "training_curves": _curve, "ladder_measurements": _rung,
           "benchmark_descriptions": _as_it_is, "models": _as_it_is}  # fmt: skip
COLUMN_READERS = tuple(TableColumns(name, **told) for name, told in spellings("tables").items())
