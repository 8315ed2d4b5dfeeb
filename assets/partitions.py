"""How tables are cut into days."""

from __future__ import annotations

from datetime import UTC, date, datetime

import dagster as dg

FIRST_DAY = date(2023, 1, 1)
LAST_STARTER_DAY = date(2026, 11, 22)


def _days_ahead() -> int:
    """How many days after yesterday exist: today, and on a machine whose clock is behind, the starter's day."""
    return 1 + max(0, (LAST_STARTER_DAY - datetime.now(UTC).date()).days)


DAILY = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone="UTC", end_offset=_days_ahead())
