"""The jobs that schedules, sensors and people launch, and what keeps an installation small."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Executions
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

from foretell.assets.families import all_families
from foretell.assets.lake.tables.assets import GROUP
from foretell.assets.store.io_manager import DAILY
from foretell.pipelines.settings import Settings

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
BATCH = 200

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


def _job(name: str, selection: dg.AssetSelection, description: str, **more: Any) -> Any:
    executor = dg.in_process_executor
    return dg.define_asset_job(name, selection=selection, executor_def=executor, description=description, **more)


curate_day = _job("curate_day", TRACES, "Validate and price the landed traces of one day.", partitions_def=DAILY)
retrain = _job(
    "retrain", NIGHTLY - TRACES - dg.AssetSelection.groups(GROUP),
    "Refit, judge and register the families of every night on the window of curated days.", tags=ONE_AT_A_TIME,
)  # fmt: skip
nightly_retrain = _job(
    "nightly_retrain", EVERYTHING - COLLECTION,
    "Curate one day and the tables, then refit, judge and register the families whose rows changed.",
    partitions_def=DAILY, tags=ONE_AT_A_TIME,
)  # fmt: skip
curate_tables = _job(
    "curate_tables", TABLES, "Bring runs, descriptions, models, curves and ladders up to date with what has landed."
)

JOBS = [curate_day, curate_tables, retrain, nightly_retrain]


def family_jobs(families: Sequence[str]) -> list[Any]:
    """One job per family, for what drifted or has a cadence of its own."""
    return [
        _job(f"retrain_{family}", dg.AssetSelection.groups(family),
             f"Refit, judge and register {family} on the window of curated days.", tags=ONE_AT_A_TIME)
        for family in families
    ]  # fmt: skip


def prune_runs(instance: dg.DagsterInstance, *, keep: int) -> int:
    """Delete all but the newest `keep` finished runs with their events; returns how many.

    The tables, models and decisions stay; what goes is the record in Dagster's pages, plots over time included.
    Counted, not dated, so that a clock that jumps deletes nothing.
    """
    finished = dg.RunsFilter(statuses=FINISHED)
    n_extra = max(instance.get_runs_count(finished) - keep, 0)
    for start in range(0, n_extra, BATCH):
        old = instance.get_runs(finished, limit=min(BATCH, n_extra - start), ascending=True)
        for run in old:
            instance.delete_run(run.run_id)
            _delete_shard(instance, run.run_id)
        _delete_checks(instance, [run.run_id for run in old])
    _delete_reports(instance)
    return n_extra


def _delete_shard(instance: dg.DagsterInstance, run_id: str) -> None:
    """The sqlite store keeps a file of events per run, and empties it without deleting it."""
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard is not None:
        shard = Path(path_for_shard(run_id))
        for file in shard.parent.glob(f"{run_id}.db*"):
            file.unlink(missing_ok=True)


def _delete_checks(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Dagster deletes a run and leaves what its checks found, pictures and all: most of what a year adds to its store.

    The newest result of every check stays, whatever became of its run: the pages show it.
    """
    connect = getattr(instance.event_log_storage, "index_connection", None)
    if connect is None:
        return
    newest = sa.select(sa.func.max(Executions.c.id)).group_by(Executions.c.asset_key, Executions.c.check_name)
    with connect() as connection:
        connection.execute(
            sa.delete(Executions).where(Executions.c.run_id.in_(run_ids), Executions.c.id.not_in(newest))
        )


def _delete_reports(instance: dg.DagsterInstance) -> None:
    """What is told without a run (the quarantine after every ingest, days curated in bulk) is deleted with none.

    The newest of every asset, day and kind stays.
    """
    storage: Any = instance.event_log_storage
    path_for_shard = getattr(storage, "path_for_shard", None)
    if path_for_shard is None or not Path(path_for_shard("")).exists():
        return
    of_one_thing = (Events.c.asset_key, Events.c.partition, Events.c.dagster_event_type)
    newest = sa.select(sa.func.max(Events.c.id)).where(Events.c.run_id == "").group_by(*of_one_thing)
    for connect in (storage.index_connection, lambda: storage.run_connection("")):
        with connect() as connection:
            connection.execute(sa.delete(Events).where(Events.c.run_id == "", Events.c.id.not_in(newest)))
    _delete_checks(instance, [""])


@dg.op(description="Deletes the oldest finished runs beyond FORETELL_KEEP_RUNS.")
def delete_old_runs(context: dg.OpExecutionContext) -> None:
    keep = Settings().keep_runs
    context.log.info(f"{prune_runs(context.instance, keep=keep)} old runs deleted, the newest {keep} kept")


@dg.job(description="Keeps Dagster's store small.", executor_def=dg.in_process_executor)
def housekeeping() -> None:
    delete_old_runs()
