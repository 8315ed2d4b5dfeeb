"""Which columns of a table are made of which columns of the tables before it, for Dagster's pages.

A column that stands under the same name in the table before is that column, unless `TABLES` says otherwise; what
neither knows has no lineage rather than a guessed one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import dagster as dg

from foretell.assets.readers.core.records import RAW_SCHEMA
from foretell.predictors.schemas.traces import RequestTraces

_RUN = ("query_id", "model", "config_hash")
_LENGTH = ("value", "query_id", "cell_id", "replicate", "repeat_prob", "is_capped")
_ERROR = (*_LENGTH, "split", "is_censored")
_FLOOR = dict.fromkeys(("noise_floor", "floor_ci_lower", "floor_ci_upper", "floor_source"), _LENGTH)
_COUNTS = ("n_queries", "n_replicates")
_ERRORS = (
    "value", "ci_lower", "ci_upper", "baseline_value", "excess_error", "excess_ci_lower", "excess_ci_upper", "gain",
    "gain_ci_lower", "gain_ci_upper", "gain_mde", "skill", "skill_ci_lower", "skill_ci_upper",
)  # fmt: skip
_RAW, _TRACES = frozenset(RAW_SCHEMA.names), frozenset(RequestTraces.to_schema().columns)


@dataclass(frozen=True)
class Made:
    """The table before, its columns that pass on under their name, and what others are made of."""

    before: str
    same: frozenset[str]
    made_of: Mapping[str, tuple[str, ...]]


TABLES: Mapping[str, Made] = {
    "request_traces": Made("raw_traces", _RAW, {
        "query_id": ("query_id", "prompt_text", "benchmark", "item_id", "source", "request_id"),
        "config_hash": ("temperature", "top_p", "max_tokens", "reasoning_effort", "settings"),
        "replicate": ("replicate", "query_id", "model", "started_at"),
        "is_censored": ("finish_reason", "output_tokens", "max_tokens", "model"),
        "max_tokens": ("max_tokens", "output_tokens", "finish_reason"),
        "cost_usd": ("model", "provider", "started_at", "input_tokens", "cache_read_tokens", "cache_write_tokens",
                     "output_tokens"),
        "price_version": ("model", "provider", "started_at"),
    }),
    "quarantined_traces": Made("raw_traces", _RAW, {}),
    "thinking_tokens_examples": Made("request_traces", _TRACES, {
        "cell_id": _RUN,
        "replicate": (*_RUN, "started_at"),
        "split": ("query_id",),
        "value": ("output_tokens",),
        "is_capped": ("is_censored", "model", "benchmark", "reasoning_effort"),
        "run_reasoning_tokens": ("reasoning_tokens",),
        "run_score": ("score",),
    }),
}  # fmt: skip
OF_EXAMPLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "_noise_floor": {**_FLOOR, **dict.fromkeys(_COUNTS, ("query_id", "replicate", "is_capped"))},
    "_evaluation": {
        **_FLOOR,
        **dict.fromkeys(_ERRORS, _ERROR),
        **dict.fromkeys(_COUNTS, ("query_id", "replicate", "split", "is_capped")),
        "split": ("split", "is_capped"),
    },
}
"""Ends of the names of tables that every family makes of its ``<family>_examples``."""


def column_lineage(table: str, columns: Iterable[str]) -> dg.TableColumnLineage | None:
    """What each of the columns that a table has is made of; None where nothing is known of the table."""
    end = next((end for end in OF_EXAMPLES if table.endswith(end)), None)
    made = TABLES.get(table)
    if end is not None:
        made = Made(f"{table.removesuffix(end)}_examples", frozenset(), OF_EXAMPLES[end])
    if made is None:
        return None
    known = {name: made.made_of.get(name, (name,) if name in made.same else ()) for name in map(str, columns)}
    before = partial(dg.TableColumnDep, dg.AssetKey(made.before))
    return dg.TableColumnLineage({name: list(map(before, origins)) for name, origins in known.items() if origins})


def origins(lineage: dg.TableColumnLineage | None, column: str) -> str | None:
    """``raw_traces.model, raw_traces.provider``: the free pages of Dagster show this, but draw no column lineage."""
    known = [] if lineage is None else lineage.deps_by_column.get(column, [])
    return ", ".join(f"{origin.asset_key.to_user_string()}.{origin.column_name}" for origin in known) or None
