"""Data-quality checks of one day of `request_traces`: two that stop a run, five that warn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from foretell.assets.lake.traces.curation import Curated
from foretell.predictors.schemas import RequestTraces

CHECKS: tuple[dict[str, Any], ...] = (
    {"name": "contract", "blocking": True, "description": "Every row meets `RequestTraces`."},
    {"name": "counts_add_up", "blocking": True, "description": "read = accepted + quarantined + duplicates"},
    {"name": "few_censored", "description": "Few outputs were cut off: those are lower bounds."},
    {"name": "metering_varies", "description": "Token counts do not look made up."},
    {"name": "tokens_complete", "description": "Reasoning is reported and totals are the sum of their parts."},
    {"name": "costs_known", "description": "Every request has a price, and it agrees with the reported one."},
    {"name": "repeats_present", "description": "Some queries have two or more runs, so that a floor can be known."},
)
WARNINGS_OF_CHECK = {
    "few_censored": ("censoring",),
    "metering_varies": ("constant_metering",),
    "tokens_complete": (
        "reasoning_unknown",
        "total_differs",
        "query_unknown",
        "thinking_budget_reached",
        "thinking_off",
    ),
    "costs_known": ("unpriced", "cost_differs", "cost_not_reported", "free_despite_tokens"),
}


MAX_ROWS = 20
"""Of a table in Dagster's store: names of models come from users, and a gateway may invent one per request."""


@dataclass(frozen=True)
class TraceCheck:
    """The result of one of `CHECKS` for a day: what was counted, and rows that say why, as Markdown.

    A failure stops the run where `is_blocking`, else it warns.
    """

    name: str
    passed: bool
    is_blocking: bool = False
    numbers: dict[str, int] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)


def check_traces(curated: Curated, counts: Mapping[str, int]) -> Iterator[TraceCheck]:
    """The result of every check in `CHECKS`; `counts` is the account of the day, see `bulk_curation.traces_of_raw`."""
    yield _contract(curated.traces)
    adds_up = counts["read"] == counts["accepted"] + counts["quarantined"] + counts["duplicates"]
    yield TraceCheck("counts_add_up", adds_up, is_blocking=True, numbers=dict(counts))
    for check, kinds in WARNINGS_OF_CHECK.items():
        warnings = curated.warnings[curated.warnings["check"].isin(kinds)]
        warnings = warnings.sort_values("n_rows", ascending=False, kind="stable")
        numbers = {"rows": int(warnings["n_rows"].sum()), "warnings": len(warnings)}
        yield TraceCheck(check, warnings.empty, numbers=numbers, tables={"warnings": _markdown(warnings)})
    runs = curated.traces.groupby(["query_id", "model", "config_hash"]).size()
    n_repeated = int((runs >= 2).sum())
    numbers = {"cells": len(runs), "repeated_cells": n_repeated}
    yield TraceCheck("repeats_present", n_repeated > 0 or curated.traces.empty, numbers=numbers)


def _contract(traces: pd.DataFrame) -> TraceCheck:
    from pandera.errors import SchemaErrors

    try:
        RequestTraces.validate(traces, lazy=True)
    except SchemaErrors as error:
        # A rule over the whole row is reported once per column, so bad rows are counted by their index.
        cases = error.failure_cases.drop_duplicates(["check", "index"])
        tables = {"cases": _markdown(cases[["column", "check", "index"]])}
        numbers = {"bad_rows": int(cases["index"].nunique())}
        return TraceCheck("contract", False, is_blocking=True, numbers=numbers, tables=tables)
    return TraceCheck("contract", True, is_blocking=True, numbers={"rows": len(traces)})


def _markdown(table: pd.DataFrame) -> str:
    """The first `MAX_ROWS` rows."""
    table = table.head(MAX_ROWS)
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    lines += [list(map(str, row)) for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
