"""The jobs that schedules, sensors and people launch."""

from __future__ import annotations

import dagster as dg

from assets.partitions import DAILY

TRACES = dg.AssetSelection.assets("landed_files", "raw_traces", "request_traces", "quarantined_traces")
EVERYTHING = dg.AssetSelection.all()

curate_day = dg.define_asset_job(
    "curate_day",
    selection=TRACES,
    partitions_def=DAILY,
    executor_def=dg.in_process_executor,
    description="Validate and price the landed traces of one day.",
)

retrain = dg.define_asset_job(
    "retrain",
    selection=EVERYTHING - TRACES,
    executor_def=dg.in_process_executor,
    description="Refit, judge and register every family on all curated days.",
)

nightly_retrain = dg.define_asset_job(
    "nightly_retrain",
    selection=EVERYTHING,
    partitions_def=DAILY,
    executor_def=dg.in_process_executor,
    description="Curate one day, then refit, judge and register every family on all days.",
)

JOBS = [curate_day, retrain, nightly_retrain]
