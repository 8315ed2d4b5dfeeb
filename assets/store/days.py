"""Which days a table can hold."""

from datetime import UTC, date, datetime, timedelta

FIRST_DAY = date(2015, 1, 1)
"""No request to a language model is older; what says it is has a broken clock."""
LAST_STARTER_DAY = date(2026, 11, 22)


def last_day() -> date:
    """The last UTC day that a record may have: tomorrow, since clocks of other machines run ahead of this one.

    Where this clock is behind the bundled traces, their day.
    """
    return max(datetime.now(UTC).date() + timedelta(days=1), LAST_STARTER_DAY)


def has_day(day: str) -> bool:
    """True if tables can hold the UTC day ``YYYY-MM-DD`` now; false of a later one while the clock is behind it."""
    return FIRST_DAY <= date.fromisoformat(day) <= last_day()
