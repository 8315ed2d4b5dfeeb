"""Data-quality checks of one day of `request_traces`: two that stop a run, five that warn."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from foretell.assets.lake.traces.curation import Curated
from foretell.assets.store.markdown import markdown
from foretell.predictors.schemas import RequestTraces

TRACES = dg.AssetKey("request_traces")

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


def check_traces(curated: Curated) -> Iterator[dg.AssetCheckEvaluation]:
    """The result of every check in `CHECKS`: what was counted, and which rows say why."""
    yield _contract(curated.traces)
    n_read, *others = curated.counts.values()
    yield _result("counts_add_up", n_read == sum(others), curated.counts)
    for check, kinds in WARNINGS_OF_CHECK.items():
        warnings = curated.warnings[curated.warnings["check"].isin(kinds)]
        warnings = warnings.sort_values("n_rows", ascending=False, kind="stable")
        numbers = {"rows": int(warnings["n_rows"].sum()), "warnings": len(warnings)}
        yield _result(check, warnings.empty, numbers, models=warnings)
    cells, repeated = (int((curated.traces["replicate"] == nth).sum()) for nth in (0, 1))
    yield _result("repeats_present", repeated > 0 or curated.traces.empty, {"cells": cells, "repeated_cells": repeated})


def _contract(traces: pd.DataFrame) -> dg.AssetCheckEvaluation:
    from pandera.errors import SchemaErrors

    try:
        RequestTraces.validate(traces, lazy=True)
    except SchemaErrors as error:
        # A rule over the whole row is reported once per column, so bad rows are counted by their index.
        cases = error.failure_cases.drop_duplicates(["check", "index"])[["column", "check", "index"]]
        return _result("contract", False, {"bad_rows": int(cases["index"].nunique())}, cases=cases)
    return _result("contract", True, {"rows": len(traces)})


def _result(name: str, passed: bool, numbers: Mapping[str, int], **tables: pd.DataFrame) -> dg.AssetCheckEvaluation:
    is_blocking = any(spec["name"] == name and spec.get("blocking") for spec in CHECKS)
    return dg.AssetCheckEvaluation(
        asset_key=TRACES,
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR if is_blocking else dg.AssetCheckSeverity.WARN,
        metadata={**numbers, **{of: dg.MetadataValue.md(markdown(rows.head(MAX_ROWS))) for of, rows in tables.items()}},
    )
