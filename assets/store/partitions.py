"""How Dagster cuts tables into days."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from foretell.assets.store.days import FIRST_DAY, last_day

# The calendar ends with `last_day`, not with yesterday.
_DAYS_AHEAD = (last_day() - datetime.now(UTC).date()).days + 1
DAILY = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone="UTC", end_offset=_DAYS_AHEAD)
