"""When things run. Every cron string of the project is in this file."""

import dagster as dg

from pipelines.jobs import curate_day, nightly_retrain

NIGHTLY = "30 2 * * *"


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
