"""Run jobs in this process, skipping what is already up to date. The demo and the DVC stages use it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretell.assets.store.digests import file_digest, fit_digest, folder_digest
from foretell.assets.store.durable import is_alive, write_text_durably
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import ForecastError

if TYPE_CHECKING:
    import dagster as dg

Progress = Callable[[str, float, float], None]
"""Called after every step with its name, how many seconds it took, and the share of all steps that are done."""

PID_TAG = "foretell/pid"
DAYS_PER_WORKER = 8
"""Days that are curated at once on a cluster; a run that dies begins again with the last of these."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailedError(ForecastError):
    """A job did not run to its end."""


class State:
    """What was computed from what: one small JSON file, written whole or not at all."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "state.json"

    def get(self, key: str) -> str | None:
        """The digest that `key` was computed from, if it was."""
        return self._read().get(key)

    def set(self, key: str, digest: str) -> None:
        """Record that `key` is now computed from `digest`."""
        state = {**self._read(), key: digest}
        write_text_durably(json.dumps(state, indent=1, sort_keys=True), self._path)

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError):
            return {}


@contextmanager
def locked(settings: Settings, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold this installation: two runs at once would do the same work twice.

    Raises `RunFailedError` if another process still holds it after `wait_s`, in seconds.
    """
    from filelock import FileLock, Timeout

    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.home / "run.lock", timeout=wait_s):
            yield
    except Timeout as error:
        raise RunFailedError(f"another foretell run holds {settings.home}; wait for it or end it") from error


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The persistent Dagster instance of this installation; runs that were killed are marked as failed."""
    import dagster as dg

    from foretell.pipelines.home import open_home

    open_home(settings, create=True)
    instance = dg.DagsterInstance.from_config(str(settings.dagster_home))
    for run in _dead(instance):
        instance.report_run_failed(run, f"process {run.tags[PID_TAG]} ended before the run did")
    return instance


def dead_runs(settings: Settings) -> int:
    """How many runs a process that is gone has left unfinished; changes nothing."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        return len(_dead(instance))


def _dead(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    import dagster as dg

    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    runs = [run for run in instance.get_runs(unfinished) if PID_TAG in run.tags]
    return [run for run in runs if not is_alive(int(run.tags[PID_TAG]))]


def curate_days(settings: Settings, instance: dg.DagsterInstance, progress: Progress) -> int:
    """Curate every landed day whose files or code changed; returns how many were.

    A day that is yet to come on this machine's clock waits for it: Dagster's calendar does not hold it.
    Dagster is told of every day, without a run: starting one takes a second, curating a small day a tenth of that.
    """
    from foretell.assets.lake.landing.deliveries import day_digests
    from foretell.assets.lake.traces.bulk_curation import curate_landed_days, report_day, report_files
    from foretell.assets.store.days import has_day

    state, code = State(settings), source_digest()
    stale = {}
    for day, digest in sorted(day_digests(settings.landing).items()):
        if not has_day(day):
            continue
        wanted = fit_digest(digest, code, _price_digest(settings))
        table = settings.home / "lake" / "request_traces" / f"{day}.parquet"
        if state.get(f"day:{day}") != wanted or not table.exists():
            stale[day] = wanted
    if days := list(stale):
        report_files(instance, settings.landing, settings.home / "lake")
    with settings.open_engine() as engine:
        has_workers = len(days) > 1 and engine.n_workers > 1  # a cluster is not started for one day
        at_once = DAYS_PER_WORKER * engine.n_workers if has_workers else 1
        for start in range(0, len(days), at_once):
            began = time.perf_counter()
            batch = days[start : start + at_once]
            for done in curate_landed_days(batch, settings.landing, settings.home / "lake", settings.price_file):
                report_day(instance, done)
                if done.failed:
                    raise RunFailedError(f"{done.day}: the checks {', '.join(done.failed)} did not pass")
                state.set(f"day:{done.day}", stale[done.day])
            name = batch[0] if len(batch) == 1 else f"{batch[0]} .. {batch[-1]}"
            progress(name, time.perf_counter() - began, (start + len(batch)) / len(days))
    return len(days)


def curate_tables(settings: Settings, instance: dg.DagsterInstance, progress: Progress) -> list[str]:
    """Bring the canonical tables beside the traces up to date; names of those for which something had landed."""
    from foretell.assets.lake.tables.curation import stale_tables

    stale = stale_tables(settings.landing, settings.home / "lake")
    if stale:
        execute("curate_tables", settings, instance, progress=progress)
    return stale


def retrain(settings: Settings, instance: dg.DagsterInstance, progress: Progress, *, force: bool = False) -> bool:
    """Refit, judge and register the families of every night unless data, prices and code are those of the last time."""
    from foretell.assets.lake.landing.deliveries import landing_digest

    wanted = fit_digest(landing_digest(settings.landing), source_digest(), _price_digest(settings))
    is_there = (settings.home / "lake" / "forecast_report.parquet").exists()
    return _unless_done("retrain", wanted, settings, instance, progress, force=force or not is_there)


def refresh(
    settings: Settings, instance: dg.DagsterInstance, family: str, progress: Progress, *, force: bool = False
) -> bool:
    """Refit, judge and register a family of bundled and own rows unless data and code are those of the last time."""
    from foretell.assets.families import get_family
    from foretell.assets.lake.landing.table_rows import tables_digest

    own = tables_digest(settings.landing, get_family(family).tables)
    wanted = fit_digest(folder_digest(settings.starter), source_digest(), own)
    return _unless_done(f"retrain_{family}", wanted, settings, instance, progress, force=force)


def _unless_done(
    job: str, wanted: str, settings: Settings, instance: dg.DagsterInstance, progress: Progress, *, force: bool = False
) -> bool:
    """Run a job whose last run was made from another digest than `wanted`; whether it was."""
    state = State(settings)
    if not force and state.get(job) == wanted:
        return False
    execute(job, settings, instance, progress=progress)
    state.set(job, wanted)
    return True


def execute(
    job_name: str,
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    progress: Progress,
    partition_key: str | None = None,
) -> dg.ExecuteInProcessResult:
    """Run one job here and now.

    Raises `RunFailedError` if a step failed or a blocking check did not pass; names the step and its error.
    """
    from foretell.pipelines.definitions import build_definitions

    job = build_definitions(settings).resolve_job_def(job_name)
    job = job.with_hooks({_progress_hook(progress, len(job.nodes))})
    with settings.open_engine():
        result = job.execute_in_process(
            instance=instance,
            partition_key=partition_key,
            run_config=QUIET,
            tags={PID_TAG: str(os.getpid())},
            raise_on_error=False,
        )
    if not result.success:
        raise RunFailedError(f"{job_name} ({partition_key or 'all days'}) failed: {_first_failure(result)}")
    return result


def _progress_hook(progress: Progress, n_steps: int) -> Any:
    import dagster as dg

    ends = [time.perf_counter()]

    @dg.success_hook(name="report_progress")
    def report_progress(context: dg.HookContext) -> None:
        ends.append(time.perf_counter())
        progress(context.op.name, ends[-1] - ends[-2], (len(ends) - 1) / n_steps)

    return report_progress


def _first_failure(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            raised = error and (error.cause or error)  # Dagster wraps what a step raised
            message = raised.message.strip() if raised else "unknown error"
            # What this project raises on purpose is a sentence for a user; the name of its class is not.
            ours = message.startswith(f"{ForecastError.__module__}.")
            return message.split(": ", 1)[1] if ours else f"step {event.step_key}: {message}"
    return "no step reported an error; see the Dagster log"


def source_digest() -> str:
    """SHA-256 of the code that makes tables and models."""
    rooms = (Path(str(files(f"foretell.{room}"))) for room in ("assets", "collect", "predictors"))
    return fit_digest(*(folder_digest(room, ".py") for room in rooms))


def _price_digest(settings: Settings) -> str:
    return "public prices" if settings.price_file is None else file_digest(settings.price_file)
