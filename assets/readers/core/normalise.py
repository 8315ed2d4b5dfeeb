"""One spelling for what every format spells differently: finish reasons, times, numbers."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

_FINISH = {
    word: reason
    for reason, words in {
        "stop": ("stop", "end_turn", "stop_sequence", "completed", "complete", "eos"),
        "length": ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"),
        "tool_calls": ("tool_calls", "tool_call", "tool_use", "function_call"),
        "content_filter": ("content_filter", "safety", "recitation", "prohibited_content", "refusal"),
    }.items()
    for word in words
}
_FIRST_US = 631_152_000_000_000
_LAST_US = 7_258_118_400_000_000
_WHOLE = re.compile(r"^[+-]?\d+$")


def normal_finish_reason(value: Any) -> str | None:
    """Return ``stop``, ``length``, ``tool_calls``, ``content_filter`` or the value in lower case.

    Of several choices, one that was cut off makes the whole answer ``length``.
    """
    if isinstance(value, list | tuple):
        reasons = [reason for item in value if (reason := normal_finish_reason(item))]
        return "length" if "length" in reasons else (reasons[0] if reasons else None)
    if not isinstance(value, str) or not value:
        return None
    word = value.lower().replace("-", "_").removeprefix("finish_reason_")
    return _FINISH.get(word, word)


def epoch_us(value: Any) -> int | None:
    """Microseconds since 1970 of an ISO time, or of a count of s, ms, us or ns told apart by its size.

    A time without a zone is taken as UTC. Null where the value is no time between 1990 and 2200.
    """
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return _plausible(round(moment.timestamp() * 1e6))
    if isinstance(value, str) and not _WHOLE.match(value.strip()):
        text = value.strip().replace(" UTC", "+00:00")
        text = re.sub(r"(\.\d{6})\d+", r"\1", text)  # nanoseconds are more than datetime reads
        try:
            return epoch_us(datetime.fromisoformat(text))
        except ValueError:
            value = as_number(text)
    number = as_number(value)
    if number is None or number <= 0:
        return None
    exact = int(value) if not isinstance(value, float) else number
    for limit, scale in ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3)):
        if number < limit:
            # whole nanoseconds do not fit a double
            return _plausible(int(exact) // 1000 if scale == 1e-3 else round(exact * scale))
    return None


def epochs_us(values: list[Any]) -> list[int | None] | pa.Array:
    """`epoch_us` of each value; a column of whole seconds or of whole nanoseconds is converted at once."""
    if set(map(type, values)) == {int} and max(values) < 2**63 and min(values) > 0:
        counts = np.array(values, dtype=np.int64)
        us = counts * 1_000_000 if counts.max() < _LAST_US // 1_000_000 else counts // 1000
        is_one_scale = counts.max() < _LAST_US // 1_000_000 or counts.min() >= 10**17
        if is_one_scale and us.min() >= _FIRST_US and us.max() < _LAST_US:
            return pa.array(us, pa.timestamp("us", "UTC"))
    return [epoch_us(value) for value in values]


def _plausible(us: int) -> int | None:
    return us if _FIRST_US <= us < _LAST_US else None


def as_number(value: Any) -> float | None:
    """Return a finite number, or None for everything else (a bool is no number)."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def seconds(value: Any, *, unit: float = 1.0) -> float | None:
    """Return a duration in seconds; a negative one (clock skew) is unknown."""
    number = as_number(value)
    return None if number is None or number < 0 else number * unit


def first(*values: Any) -> Any:
    """Return the first value that is not None and not an empty string."""
    for value in values:
        if value is not None and value != "":
            return value
    return None


def coalesced(columns: Mapping[str, list[Any] | None], *names: str) -> list[Any] | None:
    """`first` of each row over the columns of these names that are there; None if none is."""
    present = [column for name in names if (column := columns.get(name)) is not None]
    if not present:
        return None
    if None not in present[0] and "" not in present[0]:
        return present[0]
    return [first(*row) for row in zip(*present, strict=True)]


def dig(value: Any, *keys: str) -> Any:
    """Follow keys through nested dicts; None as soon as one is absent."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def canonical_json(value: Any) -> bytes:
    """Return JSON with sorted keys, the same for equal values; whole numbers of any size are kept."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    except TypeError:  # beyond 64 bits, or half of a surrogate pair
        return json.dumps(value, sort_keys=True, default=str, separators=(",", ":")).encode()
