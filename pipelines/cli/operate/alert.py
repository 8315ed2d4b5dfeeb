"""`foretell alert`: what the webhook is told, now."""

import json
from typing import Annotated

import typer

from foretell.integrations.webhook import payload
from foretell.pipelines.alerts import find_alerts, send_new
from foretell.pipelines.cli.console import counted, out
from foretell.pipelines.runs import open_instance
from foretell.pipelines.settings import Settings


def alert(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print all that holds now as it would be sent.")] = False,
) -> None:
    """Tell the webhook of `alert_url` what is new: failed runs and checks, drift, promotions, spend over budget."""
    settings = Settings()
    with open_instance(settings) as instance:
        if dry_run:
            alerts, _ = find_alerts(settings, instance, {})
            out.print(json.dumps(payload(alerts, settings.alert_format), indent=1))
        else:
            out.print(f"{counted(send_new(settings, instance), 'new alert')} sent")
