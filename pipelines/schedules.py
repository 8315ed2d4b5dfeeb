"""When things run. Every cron string of the project is in this file."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from pipelines.jobs import CADENCES, curate_day, nightly_retrain, retrain
from pipelines.operations import housekeeping

NIGHTLY = "30 2 * * *"
WEEKLY = "0 4 * * 0"
CRONS = {"weekly": WEEKLY}


@dg.schedule(
    name="nightly_retrain",
    cron_schedule=NIGHTLY,
    job=nightly_retrain,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="02:30 UTC: the day that ended at midnight, then every family.",
)
def nightly_retrain_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    from datetime import timedelta

    day = (context.scheduled_execution_time - timedelta(days=1)).strftime("%Y-%m-%d")
    return dg.RunRequest(run_key=f"nightly-{day}", partition_key=day, tags={"foretell/day": day})


@dg.sensor(
    name="landed_days",
    job=curate_day,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Curates a day again whenever new files land for it, however late.",
)
def landed_days_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    import json

    from assets.landing import day_digests
    from pipelines.settings import Settings

    seen = json.loads(context.cursor or "{}")
    now = day_digests(Settings().landing)
    changed = {day: digest for day, digest in now.items() if seen.get(day) != digest}
    requests = [
        dg.RunRequest(run_key=f"{day}-{digest[:16]}", partition_key=day, tags={"foretell/day": day})
        for day, digest in sorted(changed.items())
    ]
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(now, sort_keys=True))


housekeeping_schedule = dg.ScheduleDefinition(
    job=housekeeping,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays: old runs of Dagster are deleted.",
)


def cadence_schedules(families: Sequence[str]) -> list[dg.ScheduleDefinition]:
    """The clock of every family that is not retrained with the others every night."""
    return [
        dg.ScheduleDefinition(
            name=f"retrain_{family}",
            job_name=f"retrain_{family}",
            cron_schedule=CRONS[CADENCES[family]],
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Retrains {family} at its own cadence.",
        )
        for family in families
        if family in CADENCES
    ]


def retrain_sensor(families: Sequence[str], jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Ask for a retrain before its time: where a forecast drifted, and after `retrain_rows` new rows."""

    @dg.sensor(
        name="retrain_triggers",
        jobs=[*jobs, retrain],
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Retrains a family whose forecast drifted, and all of them after many new rows.",
    )
    def retrain_triggers(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        import json

        from assets.landing import load_manifests
        from pipelines.settings import Settings

        settings = Settings()
        seen = json.loads(context.cursor or "{}")
        requests = []
        for family in families:
            night = _drifted_night(context.instance, family)
            if night is not None and seen.get(family) != night:
                seen[family] = night
                requests.append(dg.RunRequest(run_key=f"drift-{family}-{night}", job_name=f"retrain_{family}"))
        rows = int(load_manifests(settings.landing)["n_rows"].sum()) if settings.landing.is_dir() else 0
        if rows - seen.setdefault("rows", rows) >= settings.retrain_rows:
            seen["rows"] = rows
            requests.append(dg.RunRequest(run_key=f"rows-{rows}", job_name="retrain"))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen, sort_keys=True))

    return retrain_triggers


def _drifted_night(instance: dg.DagsterInstance, family: str) -> str | None:
    """The night whose verdict asks for a refit, if the newest does."""
    event = instance.get_latest_materialization_event(dg.AssetKey(f"{family}_drift"))
    if event is None or event.asset_materialization is None:
        return None
    told = {key: value.value for key, value in event.asset_materialization.metadata.items()}
    return str(told["night"]) if told.get("verdict") in ("forecast drifted", "ambiguous") else None
