"""Fold the calls of one logical request into one row.

A harness that makes a model think in a call of its own (zero-shot chain of thought, a critique) spends
reasoning tokens in every call before the last: the logical request's output is all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foretell.assets.readers.core.records import Record, Reject, Row
from foretell.assets.readers.core.secrets import described

_REMEDY = "deliver all calls of the request in one file"
_SUMS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "total_tokens",
    "max_tokens",
    "latency_s",
    "cost_reported_usd",
)


class CallFolder:
    """Collects calls by ``metadata.request_id`` until all ``n_calls`` are there."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, dict[int, Row]]] = {}

    def add(self, row: Row, metadata: Any) -> Iterator[Record]:
        """Take one call; yield the request if it is whole now, and the call itself if it stands alone."""
        n_calls = metadata.get("n_calls") if isinstance(metadata, dict) else None
        request_id = metadata.get("request_id") if isinstance(metadata, dict) else None
        if n_calls is None or request_id is None:
            yield row
            return
        index = metadata.get("call_index", 0)
        number = row["source_line"]
        if not (_is_int(n_calls) and _is_int(index) and 0 <= index < n_calls):
            yield Reject(
                f"call {described(index)} of {described(n_calls)} is no position",
                number,
                "call_index counts from 0 to n_calls - 1",
            )
            return
        key = str(request_id)
        wanted, calls = self._open.setdefault(key, (n_calls, {}))
        if wanted != n_calls or index in calls:
            why = f"call {index} of request {key} came before" if index in calls else f"request {key} has two n_calls"
            yield Reject(why, number, "deliver each call once")
            return
        calls[index] = row
        if len(calls) == n_calls:
            del self._open[key]
            yield fold([calls[i] for i in range(n_calls)])

    def rest(self) -> Iterator[Reject]:
        """Yield a reject for every request of which calls are missing."""
        for key, (n_calls, calls) in self._open.items():
            line = min(row["source_line"] for row in calls.values())
            yield Reject(f"request {key}: {len(calls)} of its {n_calls} calls are here", line, _REMEDY)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def fold(calls: list[Row]) -> Row:
    """Return the row of one logical request from its calls in order; the last one carries score and answer."""
    row = dict(calls[-1])
    head = calls[0]
    for column in ("started_at", "source_line", "seed", "settings"):
        row[column] = head.get(column)
    for column in _SUMS:
        values = [call.get(column) for call in calls]
        row[column] = None if any(value is None for value in values) else sum(values)
    before = [call["output_tokens"] for call in calls[:-1]]
    # A call of a harness that says how many calls it makes has no thinking of its own unless it says so.
    last = calls[-1].get("reasoning_tokens") or 0
    row["reasoning_tokens"] = None if any(value is None for value in before) else sum(before) + last
    if any(call.get("finish_reason") == "length" for call in calls):
        row["finish_reason"] = "length"
    if len(calls) > 1:
        row["time_to_first_token_s"] = None
    return row
