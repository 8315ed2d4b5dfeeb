"""What a platform owner must hear of: failed runs and checks, drift, promotions, spend over budget.

A message holds names, days and numbers alone: no prompt, no text of an error, no setting.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from foretell.assets.judging.family import PUBLIC_SOURCE
from foretell.assets.store.durable import write_text_durably
from foretell.assets.store.money import money
from foretell.integrations.webhook import MAX_TOLD, Alert, payload, post
from foretell.pipelines.cli.forecast.champion import champion_number
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.families import FAMILIES

if TYPE_CHECKING:
    import dagster as dg

RECENT = timedelta(days=2)
"""Older failed runs, and days of spend, are no news."""


def send_new(settings: Settings, instance: "dg.DagsterInstance") -> int:
    """Send in one message what was not sent before; returns how many alerts that were.

    The first call of an installation sends nothing: it learns what is old.

    Raises
    ------
    InvalidInputError
        Without an address, or if the file that remembers is damaged.
    NotDeliveredError
        If the receiver did not take it; the same is sent the next time.
    """
    if settings.alert_url is None:
        raise InvalidInputError("no receiver: set FORETELL_ALERT_URL or `alert_url` in foretell.toml; or --dry-run")
    file = settings.home / "alerts.json"
    try:
        before: dict[str, Any] | None = json.loads(file.read_text("utf-8")) if file.exists() else None
    except ValueError as error:
        raise InvalidInputError(f"{file}: damaged ({error}): delete it; what is old by then is not sent") from None
    alerts, champions = find_alerts(settings, instance, before["champions"] if before else {})
    new = [alert for alert in alerts if alert.key not in before["keys"]] if before else []
    if new:
        post(settings.alert_url.get_secret_value(), payload(new, settings.alert_format))
    now = {"keys": [alert.key for alert in alerts], "champions": champions}
    if now != before:
        write_text_durably(json.dumps(now), file)
    return len(new)


def find_alerts(
    settings: Settings, instance: "dg.DagsterInstance", former: Mapping[str, str | None]
) -> tuple[list[Alert], dict[str, str | None]]:
    """What holds now, sent before or not, and the champion of every family; `former` are those of the last time."""
    now = {family: champion_number(settings, family) for family in FAMILIES}
    promotions = [
        Alert("promotion", f"promotion:{family}:{number}", f"{family}: version {number} is champion, was {before}")
        for family, number in now.items()
        if number and (before := former.get(family)) and before != number
    ]
    return [*_failed_runs(instance), *_failed_checks(instance), *promotions, *_spend(settings)], now


def _failed_runs(instance: "dg.DagsterInstance") -> Iterator[Alert]:
    import dagster as dg

    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.now(UTC) - RECENT)
    for run in instance.get_runs(failed, limit=MAX_TOLD + 1):
        events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        steps = ", ".join(sorted({str(event.step_key) for event in events})) or "no step"
        name = " of ".join([run.job_name, *filter(None, [run.tags.get("dagster/partition")])])
        yield Alert("run_failed", f"run:{run.run_id}", f"{name}: {steps} failed, run {run.run_id[:8]}")


def _failed_checks(instance: "dg.DagsterInstance") -> Iterator[Alert]:
    """The newest result of every check where it did not pass; those of a family's drift are called so."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    from foretell.pipelines.definitions import defs

    keys = sorted(defs.resolve_asset_graph().asset_check_keys)
    for key, found in instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).items():
        if found.status == AssetCheckExecutionRecordStatus.FAILED:
            asset = key.asset_key.to_user_string()
            kind = "drift" if asset.endswith("_drift") else "check_failed"
            yield Alert(kind, f"check:{asset}:{key.name}:{found.id}", f"{asset}: {key.name} did not pass")


def _spend(settings: Settings) -> Iterator[Alert]:
    """Days on which the user's own requests came to more than `daily_spend_usd`."""
    most, today = settings.daily_spend_usd, datetime.now(UTC).date()
    for day in (today - timedelta(days=n) for n in range(RECENT.days + 1)):
        file = settings.home / "lake" / "request_traces" / f"{day}.parquet"
        if most is not None and file.is_file():
            rows = pd.read_parquet(file, columns=["source", "cost_usd", "cost_reported_usd"])
            own = rows[~rows["source"].str.startswith(PUBLIC_SOURCE)]
            usd = float(own["cost_usd"].fillna(own["cost_reported_usd"]).sum())
            if usd > most:
                text = f"{day}: {money(usd)} of {len(own):,} requests, more than {money(most)}"
                yield Alert("spend", f"spend:{day}", text)
