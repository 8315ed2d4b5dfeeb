"""The jobs that schedules, sensors and people launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets.partitions import DAILY

TRACES = dg.AssetSelection.assets("landed_files", "raw_traces", "request_traces", "quarantined_traces")
EVERYTHING = dg.AssetSelection.all()
ONE_AT_A_TIME = {"foretell/retrain": "yes"}
"""The run queue starts one run with this tag at a time (`dagster.yaml`); a family's own lock holds everywhere."""

CADENCES: Mapping[str, str] = {
    "benchmark_scores": "weekly",
    "learning_curves": "weekly",
    "downstream_scaling": "weekly",
}
"""Families that are not retrained every night: name -> schedule in `pipelines.schedules`."""

COLLECTION = dg.AssetSelection.groups("collection")
"""What takes hours of computing and is asked for by name: the model ladder, the network of the curves."""

NIGHTLY = EVERYTHING - COLLECTION - dg.AssetSelection.groups(*CADENCES)

curate_day = dg.define_asset_job(
    "curate_day",
    selection=TRACES,
    partitions_def=DAILY,
    executor_def=dg.in_process_executor,
    description="Validate and price the landed traces of one day.",
)

retrain = dg.define_asset_job(
    "retrain",
    selection=NIGHTLY - TRACES,
    executor_def=dg.in_process_executor,
    tags=ONE_AT_A_TIME,
    description="Refit, judge and register the families of every night on the window of curated days.",
)

nightly_retrain = dg.define_asset_job(
    "nightly_retrain",
    selection=NIGHTLY,
    partitions_def=DAILY,
    executor_def=dg.in_process_executor,
    tags=ONE_AT_A_TIME,
    description="Curate one day, then refit, judge and register the families of every night on the window.",
)

JOBS = [curate_day, retrain, nightly_retrain]


def family_jobs(families: Sequence[str]) -> list[Any]:
    """One job per family, for what drifted or has a cadence of its own."""
    return [
        dg.define_asset_job(
            f"retrain_{family}",
            selection=dg.AssetSelection.groups(family),
            executor_def=dg.in_process_executor,
            tags=ONE_AT_A_TIME,
            description=f"Refit, judge and register {family} on the window of curated days.",
        )
        for family in families
    ]
