"""The jobs that schedules, sensors and people launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from foretell.assets.families import all_families
from foretell.assets.lake.tables.assets import GROUP
from foretell.assets.store.partitions import DAILY

TRACES = dg.AssetSelection.assets("landed_files", "raw_traces", "request_traces", "quarantined_traces")
TABLES = dg.AssetSelection.assets("landed_files") | dg.AssetSelection.groups(GROUP)
EVERYTHING = dg.AssetSelection.all()
ONE_AT_A_TIME = {"foretell/retrain": "yes"}
"""The run queue starts one run with this tag at a time (`dagster.yaml`); a family's own lock holds everywhere."""

COLLECTION = dg.AssetSelection.groups("collection")
"""What takes hours of computing and is asked for by name: the model ladder, the network of the curves."""

SELDOM = [family.name for family in all_families() if family.cadence != "nightly"]
NIGHTLY = EVERYTHING - COLLECTION - dg.AssetSelection.groups(*SELDOM)
"""What every night makes; `nightly_retrain` makes a family of `SELDOM` too where rows have come for it."""

curate_day = dg.define_asset_job(
    "curate_day",
    selection=TRACES,
    partitions_def=DAILY,
    executor_def=dg.in_process_executor,
    description="Validate and price the landed traces of one day.",
)

retrain = dg.define_asset_job(
    "retrain",
    selection=NIGHTLY - TRACES - dg.AssetSelection.groups(GROUP),
    executor_def=dg.in_process_executor,
    tags=ONE_AT_A_TIME,
    description="Refit, judge and register the families of every night on the window of curated days.",
)

nightly_retrain = dg.define_asset_job(
    "nightly_retrain",
    selection=EVERYTHING - COLLECTION,
    partitions_def=DAILY,
    executor_def=dg.in_process_executor,
    tags=ONE_AT_A_TIME,
    description="Curate one day and the tables, then refit, judge and register the families whose rows changed.",
)

curate_tables = dg.define_asset_job(
    "curate_tables",
    selection=TABLES,
    executor_def=dg.in_process_executor,
    description="Bring runs, descriptions, models, curves and ladders up to date with what has landed.",
)

JOBS = [curate_day, curate_tables, retrain, nightly_retrain]


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
