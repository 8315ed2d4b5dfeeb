"""What keeps an installation small: old runs of Dagster are deleted, newest first kept."""

import dagster as dg

__all__ = ["housekeeping", "prune_runs"]

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
BATCH = 200


def prune_runs(instance: dg.DagsterInstance, *, keep: int) -> int:
    """Delete all but the newest `keep` finished runs with their events; returns how many.

    The tables, models and decisions stay; what goes is the record in Dagster's pages, plots over time included.
    Counted, not dated, so that a clock that jumps deletes nothing.
    """
    finished = dg.RunsFilter(statuses=FINISHED)
    n_extra = instance.get_runs_count(finished) - keep
    n_gone = 0
    while n_extra > n_gone:
        old = instance.get_runs(finished, limit=min(BATCH, n_extra - n_gone), ascending=True)
        for run in old:
            instance.delete_run(run.run_id)
        n_gone += len(old)
        if not old:
            break
    return n_gone


@dg.op(description="Deletes the oldest finished runs beyond FORETELL_KEEP_RUNS.")
def delete_old_runs(context: dg.OpExecutionContext) -> None:
    from pipelines.settings import Settings

    keep = Settings().keep_runs
    context.log.info(f"{prune_runs(context.instance, keep=keep)} old runs deleted, the newest {keep} kept")


@dg.job(description="Keeps Dagster's store small.", executor_def=dg.in_process_executor)
def housekeeping() -> None:
    delete_old_runs()
