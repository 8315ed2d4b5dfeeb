"""When things run. Every cron string of the project is in this file."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from foretell.assets.families import all_families
from foretell.assets.judging.family import Family
from foretell.assets.lake.landing.deliveries import day_digests, landed_days
from foretell.assets.lake.landing.manifests import read_manifests
from foretell.assets.lake.landing.table_rows import landed_parts, tables_digest
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.lake.tables.curation import stale_tables
from foretell.assets.nightly.assets import ROWS_DIGEST
from foretell.assets.nightly.drift import RESETTING
from foretell.assets.store.days import has_day
from foretell.pipelines.alerts import send_new
from foretell.pipelines.jobs import NIGHTLY, curate_day, curate_tables, housekeeping, nightly_retrain, retrain
from foretell.pipelines.jobs import TABLES as LAKE_TABLES
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import ForecastError

NIGHTLY_CRON = "30 2 * * *"
WEEKLY = "0 4 * * 0"
CRONS = {"weekly": WEEKLY}
"""Of families that are not retrained with the others every night, by their cadence."""


@dg.schedule(
    name="nightly_retrain",
    cron_schedule=NIGHTLY_CRON,
    job=nightly_retrain,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="02:30 UTC: the day that ended at midnight, the tables, then every family whose rows changed.",
)
def nightly_retrain_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    day = (context.scheduled_execution_time - timedelta(days=1)).strftime("%Y-%m-%d")
    keys = nightly_selection(context.instance, Settings())
    return dg.RunRequest(
        run_key=f"nightly-{day}", partition_key=day, tags={"foretell/day": day}, asset_selection=sorted(keys)
    )


def nightly_selection(instance: dg.DagsterInstance, settings: Settings) -> set[dg.AssetKey]:
    """What a night makes: the tables, all that rests on requests where any have landed, and every other family for
    whose tables something has landed since its examples were made."""
    from foretell.pipelines.definitions import defs

    chosen = NIGHTLY if landed_days(settings.landing) else LAKE_TABLES
    for family in (family for family in all_families() if family.adds_own):
        digest = _newest_facts(instance, f"{family.name}_examples").get(ROWS_DIGEST)
        has_rows = any(landed_parts(settings.landing, TABLES[name]) for name in family.tables)
        if has_rows and digest != tables_digest(settings.landing, family.tables):
            chosen = chosen | dg.AssetSelection.groups(family.name)
    return set(chosen.resolve(defs.resolve_asset_graph()))


@dg.sensor(
    name="landed_days",
    jobs=[curate_day, curate_tables],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Curates a day, or the other tables, again whenever new files land for them, however late.",
)
def landed_days_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    settings = Settings()
    seen = json.loads(context.cursor or "{}")
    # A day that is yet to come on this clock is asked for when it has come.
    now = {day: digest for day, digest in day_digests(settings.landing).items() if has_day(day)}
    changed = {day: digest for day, digest in now.items() if seen.get(day) != digest}
    requests = [
        dg.RunRequest(
            run_key=f"{day}-{digest[:16]}", job_name="curate_day", partition_key=day, tags={"foretell/day": day}
        )
        for day, digest in sorted(changed.items())
    ]
    if stale_tables(settings.landing, settings.home / "lake"):
        digest = tables_digest(settings.landing, list(TABLES))
        requests.append(dg.RunRequest(run_key=f"tables-{digest[:16]}", job_name="curate_tables"))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(now, sort_keys=True))


housekeeping_schedule = dg.ScheduleDefinition(
    job=housekeeping,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays: old runs of Dagster are deleted.",
)


def cadence_schedules(families: Sequence[Family]) -> list[dg.ScheduleDefinition]:
    """The clock of every family that is not retrained with the others every night."""
    return [
        dg.ScheduleDefinition(
            name=f"retrain_{family.name}",
            job_name=f"retrain_{family.name}",
            cron_schedule=CRONS[family.cadence],
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Retrains {family.name} at its own cadence.",
        )
        for family in families
        if family.cadence in CRONS
    ]


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the webhook of FORETELL_ALERT_URL of failed runs and checks, drift, promotions and spend.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    settings = Settings()
    try:
        n_sent = 0 if settings.alert_url is None else send_new(settings, context.instance)
        return dg.SkipReason(f"{n_sent} alerts sent.")
    except ForecastError as error:
        context.log.warning(str(error))
        return dg.SkipReason(str(error))


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
        settings = Settings()
        seen = json.loads(context.cursor or "{}")
        requests = []
        for family in families:
            facts = _newest_facts(context.instance, f"{family}_drift")
            night = str(facts.get("night"))
            if facts.get("verdict") in RESETTING and seen.get(family) != night:
                seen[family] = night
                requests.append(dg.RunRequest(run_key=f"drift-{family}-{night}", job_name=f"retrain_{family}"))
        rows = sum(sum(manifest["days"].values()) for manifest in read_manifests(settings.landing))
        if rows - seen.setdefault("rows", rows) >= settings.retrain_rows:
            seen["rows"] = rows
            requests.append(dg.RunRequest(run_key=f"rows-{rows}", job_name="retrain"))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen, sort_keys=True))

    return retrain_triggers


def _newest_facts(instance: dg.DagsterInstance, asset: str) -> dict[str, object]:
    """The metadata of the newest materialization of an asset; nothing where it was never made."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    made = None if event is None else event.asset_materialization
    return {} if made is None else {key: value.value for key, value in made.metadata.items()}
