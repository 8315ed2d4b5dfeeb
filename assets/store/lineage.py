"""Which columns of a table are made of which columns of the tables before it, for Dagster's pages.

A column that stands under the same name in the table before is that column, unless `MADE_OF` says otherwise; what
neither knows has no lineage rather than a guessed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from foretell.assets.readers.core.records import RAW_SCHEMA
from foretell.predictors.schemas.traces import RequestTraces

_RUN = ("query_id", "model", "config_hash")
_LENGTH = ("value", "query_id", "cell_id", "replicate", "repeat_prob", "is_capped")
_ERROR = (*_LENGTH, "split", "is_censored")

MADE_OF: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "request_traces": {
        "query_id": ("query_id", "prompt_text", "benchmark", "item_id", "source", "request_id"),
        "config_hash": ("temperature", "top_p", "max_tokens", "reasoning_effort", "settings"),
        "replicate": ("replicate", "query_id", "model", "started_at"),
        "is_censored": ("finish_reason", "output_tokens", "max_tokens", "model"),
        "max_tokens": ("max_tokens", "output_tokens", "finish_reason"),
        "cost_usd": ("model", "provider", "started_at", "input_tokens", "cache_read_tokens", "cache_write_tokens",
                     "output_tokens"),
        "price_version": ("model", "provider", "started_at"),
    },
    "quarantined_traces": {},
    "thinking_tokens_examples": {
        "cell_id": _RUN,
        "replicate": (*_RUN, "started_at"),
        "split": ("query_id",),
        "value": ("output_tokens",),
        "is_capped": ("is_censored", "model", "benchmark", "reasoning_effort"),
        "run_reasoning_tokens": ("reasoning_tokens",),
        "run_score": ("score",),
    },
}  # fmt: skip
BEFORE = {
    "request_traces": "raw_traces",
    "quarantined_traces": "raw_traces",
    "thinking_tokens_examples": "request_traces",
}
COLUMNS = {"raw_traces": frozenset(RAW_SCHEMA.names), "request_traces": frozenset(RequestTraces.to_schema().columns)}
OF_EXAMPLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "noise_floor": {
        **dict.fromkeys(("noise_floor", "floor_ci_lower", "floor_ci_upper", "floor_source"), _LENGTH),
        **dict.fromkeys(("n_queries", "n_replicates"), ("query_id", "replicate", "is_capped")),
    },
    "evaluation": {
        **dict.fromkeys(("value", "ci_lower", "ci_upper", "baseline_value"), _ERROR),
        **dict.fromkeys(("noise_floor", "floor_ci_lower", "floor_ci_upper", "floor_source"), _LENGTH),
        **dict.fromkeys(("excess_error", "excess_ci_lower", "excess_ci_upper"), _ERROR),
        **dict.fromkeys(("gain", "gain_ci_lower", "gain_ci_upper", "gain_mde"), _ERROR),
        **dict.fromkeys(("skill", "skill_ci_lower", "skill_ci_upper"), _ERROR),
        **dict.fromkeys(("n_queries", "n_replicates"), ("query_id", "replicate", "split", "is_capped")),
        "split": ("split", "is_capped"),
    },
}
"""Tables of every family that are made of its ``<family>_examples``."""


def column_lineage(table: str, columns: Iterable[str]) -> dg.TableColumnLineage | None:
    """What each of `columns` of a table (an asset's name) is made of; None where nothing is known."""
    if table in BEFORE:
        before = BEFORE[table]
        made = {
            name: MADE_OF[table].get(name, (name,) if name in COLUMNS[before] else ()) for name in map(str, columns)
        }
    else:
        made_of = next((made for suffix, made in OF_EXAMPLES.items() if table.endswith(f"_{suffix}")), None)
        if made_of is None:
            return None
        before = f"{table.removesuffix('_noise_floor').removesuffix('_evaluation')}_examples"
        made = {name: made_of.get(name, ()) for name in map(str, columns)}
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(dg.AssetKey(before), origin) for origin in origins]
            for name, origins in made.items()
            if origins
        }
    )


def origins(lineage: dg.TableColumnLineage | None, column: str) -> str | None:
    """``raw_traces.model, raw_traces.provider``: the free pages of Dagster show this, but draw no column lineage."""
    known = [] if lineage is None else lineage.deps_by_column.get(column, [])
    return ", ".join(f"{origin.asset_key.to_user_string()}.{origin.column_name}" for origin in known) or None
