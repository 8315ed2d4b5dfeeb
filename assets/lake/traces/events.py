"""What Dagster is told of work that was done outside of its runs: days curated in bulk, the quarantine."""

from typing import Any

import dagster as dg

from foretell.assets.lake.traces.bulk_curation import TABLES, CuratedDay


def report_day(instance: dg.DagsterInstance, done: CuratedDay) -> None:
    """Tell Dagster what was made, so that its pages show days curated in bulk like any other."""
    n_rows = {"raw_traces": done.n_raw, "request_traces": done.counts["accepted"]}
    n_rows["quarantined_traces"] = done.counts["quarantined"]
    for name in TABLES:
        metadata: dict[str, Any] = {**done.counts, "dagster/row_count": n_rows[name], "curated": "in bulk"}
        event = dg.AssetMaterialization(asset_key=name, partition=done.day, metadata=metadata)
        instance.report_runless_asset_event(event)
    for check in done.checks:
        instance.report_runless_asset_event(check)


def report_quarantine(instance: dg.DagsterInstance, n_rows: int) -> None:
    """Tell Dagster that the quarantine was written outside of a run."""
    metadata: dict[str, Any] = {"dagster/row_count": n_rows, "written": "after ingest"}
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key="quarantine", metadata=metadata))
