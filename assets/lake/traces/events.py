"""What Dagster is told of a day of traces: check results, and days that were curated in bulk."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from foretell.assets.lake.traces.bulk_curation import TABLES, CuratedDay
from foretell.assets.lake.traces.checks import TraceCheck

TRACES = dg.AssetKey("request_traces")


def check_result(check: TraceCheck) -> dg.AssetCheckResult:
    """A check of `request_traces`, for the asset that yields it."""
    return dg.AssetCheckResult(asset_key=TRACES, check_name=check.name, passed=check.passed, **_details(check))


def report_day(instance: dg.DagsterInstance, done: CuratedDay) -> None:
    """Tell Dagster what was made, so that its pages show days curated in bulk like any other."""
    n_rows = {"raw_traces": done.n_raw, "request_traces": done.counts["accepted"]}
    n_rows["quarantined_traces"] = done.counts["quarantined"]
    for name in TABLES:
        metadata: dict[str, Any] = {**done.counts, "dagster/row_count": n_rows[name], "curated": "in bulk"}
        event = dg.AssetMaterialization(asset_key=name, partition=done.day, metadata=metadata)
        instance.report_runless_asset_event(event)
    for check in done.checks:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=TRACES, check_name=check.name, passed=check.passed, **_details(check))
        )


def report_quarantine(instance: dg.DagsterInstance, n_rows: int) -> None:
    """Tell Dagster that the quarantine was written outside of a run."""
    metadata: dict[str, Any] = {"dagster/row_count": n_rows, "written": "after ingest"}
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key="quarantine", metadata=metadata))


def _details(check: TraceCheck) -> Mapping[str, Any]:
    return {
        "severity": dg.AssetCheckSeverity.ERROR if check.is_blocking else dg.AssetCheckSeverity.WARN,
        "metadata": {**check.numbers, **{name: dg.MetadataValue.md(text) for name, text in check.tables.items()}},
    }
