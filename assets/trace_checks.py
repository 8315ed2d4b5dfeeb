"""Data-quality checks of one day of `request_traces`: two that stop a run, five that warn."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from assets.curation import Curated
from predictors.schemas import RequestTraces

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


def check_traces(curated: Curated, counts: Mapping[str, int]) -> Iterator[dg.AssetCheckResult]:
    """The result of every check in `CHECKS`."""
    yield _contract(curated.traces)
    adds_up = counts["read"] == counts["accepted"] + counts["quarantined"] + counts["duplicates"]
    yield _result("counts_add_up", adds_up, dict(counts), severity=dg.AssetCheckSeverity.ERROR)
    for check, kinds in WARNINGS_OF_CHECK.items():
        found = curated.warnings[curated.warnings["check"].isin(kinds)]
        yield _result(check, found.empty, {"rows": int(found["n_rows"].sum()), "warnings": _markdown(found)})
    runs = curated.traces.groupby(["query_id", "model", "config_hash"]).size()
    repeated = int((runs >= 2).sum())
    yield _result(
        "repeats_present",
        repeated > 0 or curated.traces.empty,
        {"cells": len(runs), "repeated_cells": repeated},
    )


def _contract(traces: pd.DataFrame) -> dg.AssetCheckResult:
    from pandera.errors import SchemaErrors

    severity = dg.AssetCheckSeverity.ERROR
    try:
        RequestTraces.validate(traces, lazy=True)
    except SchemaErrors as error:
        # A rule over the whole row is reported once per column, so bad rows are counted by their index.
        cases = error.failure_cases.drop_duplicates(["check", "index"])
        shown = _markdown(cases[["column", "check", "index"]].head(20))
        bad = {"bad_rows": int(cases["index"].nunique()), "cases": shown}
        return _result("contract", False, bad, severity=severity)
    return _result("contract", True, {"rows": len(traces)}, severity=severity)


def _markdown(table: pd.DataFrame) -> dg.MetadataValue:
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    lines += [list(map(str, row)) for row in table.itertuples(index=False)]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(line) + " |" for line in lines))


def _result(
    name: str, passed: bool, metadata: Mapping[str, Any], *, severity: dg.AssetCheckSeverity | None = None
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=dg.AssetKey("request_traces"),
        passed=bool(passed),
        severity=severity or dg.AssetCheckSeverity.WARN,
        metadata=dict(metadata),
    )
