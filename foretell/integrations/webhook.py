"""The webhook that alerts go to: a JSON object of ours, or one text in the shape that Slack takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from foretell.predictors.errors import ForecastError

TIMEOUT_S = 5.0
"""A receiver that takes longer is told again the next time."""
MAX_TOLD = 20
"""Alerts of one message; of more it says how many."""


class NotDeliveredError(ForecastError):
    """The receiver did not take a message; without its address, which is a secret."""


@dataclass(frozen=True)
class Alert:
    """`kind` is run_failed, check_failed, drift, promotion or spend; `key` tells it from every other alert."""

    kind: str
    key: str
    text: str


def payload(alerts: list[Alert], form: str) -> dict[str, Any]:
    """What is sent: the alerts as objects, or one text in Slack's shape."""
    told = alerts[:MAX_TOLD]
    n_more = len(alerts) - len(told)
    if form == "slack":
        lines = [f"*{alert.kind.replace('_', ' ')}*: {alert.text}" for alert in told]
        return {"text": "\n".join(["foretell", *lines, *([f"and {n_more} more"] if n_more else [])])}
    return {"from": "foretell", "alerts": [asdict(alert) for alert in told], "n_more": n_more}


def post(url: str, content: Mapping[str, Any]) -> None:
    """Send `content` as JSON.

    Raises
    ------
    NotDeliveredError
        If the receiver cannot be reached, is slow, or answers with an error.
    """
    request = Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=TIMEOUT_S):
            pass
    except HTTPError as error:
        error.close()
        raise NotDeliveredError(f"the receiver of alerts answered {error.code}: look at `alert_url`") from None
    except (OSError, HTTPException) as error:
        raise NotDeliveredError(
            f"the receiver of alerts cannot be reached ({type(error).__name__}): look at `alert_url`"
        ) from None
