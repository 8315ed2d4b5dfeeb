"""What is accepted into `request_traces` but should be known before anyone trusts a forecast of it."""

from collections.abc import Hashable
from typing import TypeAlias

import pandas as pd

from foretell.assets.store.money import percent

Warned: TypeAlias = tuple[str, Hashable, int, float, str]
WARNING_COLUMNS = ["check", "model", "n_rows", "share", "message"]
COST_TOLERANCE = 0.05
MIN_ROWS_CONSTANT = 20
MAX_TYPICAL_CENSORED = 0.05
MIN_THINKING_SHARE = 0.02
CLOCK_TOLERANCE = pd.Timedelta(minutes=5)
FIRST_TRACE = pd.Timestamp("2020-01-01", tz="UTC")
"""No request to a priced model is older: GPT-3's API opened in June 2020."""


def trace_warnings(traces: pd.DataFrame, raw: pd.DataFrame) -> pd.DataFrame:
    """List semantic warnings of accepted rows and what came with them, one row per check and model.

    Columns `WARNING_COLUMNS`; `share` is of the rows of the model.
    """
    if traces.empty:
        return pd.DataFrame(columns=WARNING_COLUMNS).astype({"n_rows": "int64", "share": "float64"})
    found = _by_model(traces, raw) + _constant_metering(traces) + _thinking_cut(traces)
    return pd.DataFrame(found, columns=WARNING_COLUMNS)


_MESSAGES = {
    "censoring": "answers were cut off: their tokens are lower bounds, never plain targets",
    "unpriced": "no price is known: add the model to your price file",
    "reasoning_unknown": "reasoning tokens are not reported (null, not 0): the provider or the logger leaves them out",
    "query_unknown": "neither prompt nor item is known: repeats of a query cannot be found",
    "free_despite_tokens": "a price of 0: is that so?",
    "cost_differs": f"our cost differs from the reported one by more than {percent(COST_TOLERANCE)}: batch or tier "
    "price, or reasoning tokens billed twice or not at all?",
    "clock_skew": "dated in the future or before 2020: is the clock of the logger right, and is the time UTC?",
    "cost_not_reported": "other requests of the model have a reported cost, these have none or 0 beside tokens: a cost "
    "that was lost?",
    "thinking_off": f"reasoning tokens are reported but are less than {percent(MIN_THINKING_SHARE)} of the output: "
    "thinking is switched off, or nearly; do not compare as a reasoning model",
    "total_differs": "the reported total is not input + output: are reasoning or cached tokens left out?",
}


def _by_model(traces: pd.DataFrame, raw: pd.DataFrame) -> list[Warned]:
    ours, theirs = traces["cost_usd"], traces["cost_reported_usd"]
    n_tokens = traces["input_tokens"].fillna(0) + traces["output_tokens"]
    masks = {
        "censoring": traces["is_censored"],
        "unpriced": ours.isna(),
        "reasoning_unknown": traces["reasoning_tokens"].isna(),
        "query_unknown": raw["prompt_text"].isna() & raw["item_id"].isna() & raw["query_id_was_null"],
        "free_despite_tokens": (ours == 0) & (n_tokens > 0),
        "cost_differs": (ours - theirs).abs() > COST_TOLERANCE * theirs.clip(lower=1e-6),
        "clock_skew": (traces["started_at"] > pd.Timestamp.now("UTC") + CLOCK_TOLERANCE)
        | (traces["started_at"] < FIRST_TRACE),
        "cost_not_reported": _cost_lost(traces),
        "thinking_off": _thinking_off(traces),
        "total_differs": raw["total_tokens"] != raw["input_tokens"] + raw["output_tokens"],
    }
    total = traces.groupby("model").size()
    found: list[Warned] = []
    for check, mask in masks.items():
        # `raw` and `traces` are the same requests in the same order.
        counts = traces["model"][mask.fillna(False).astype(bool).to_numpy()].value_counts().sort_index()
        for model, n in counts.items():
            share = n / total[str(model)]
            if share > (MAX_TYPICAL_CENSORED if check == "censoring" else 0):
                found.append((check, model, int(n), share, _MESSAGES[check]))
    return found


def _cost_lost(traces: pd.DataFrame) -> pd.Series:
    """Rows without a reported cost, or with one of 0, of models that mostly have one."""
    lost = traces["cost_reported_usd"].isna() | (traces["cost_reported_usd"] == 0)
    return lost & (lost.groupby(traces["model"]).transform("mean") < 0.5)


def _thinking_off(traces: pd.DataFrame) -> pd.Series:
    """Rows of models that report reasoning tokens, of which there are next to none but not none."""
    known = traces["reasoning_tokens"].notna()
    reasoning = traces["reasoning_tokens"].astype("float64").groupby(traces["model"]).transform("sum")
    output = traces["output_tokens"].astype("float64").where(known).groupby(traces["model"]).transform("sum")
    return known & (reasoning > 0) & (reasoning < MIN_THINKING_SHARE * output)


def _constant_metering(traces: pd.DataFrame) -> list[Warned]:
    """Counts that never vary were made up, not metered (RouterArena#191: 40 input tokens on every row)."""
    found: list[Warned] = []
    for column in ("input_tokens", "output_tokens", "reasoning_tokens"):
        is_known = (traces[column] > 0).fillna(False).astype(bool)
        of_model = traces.loc[is_known, ["model", "query_id", "is_censored", column]].groupby("model")
        counts = of_model[[column, "query_id"]].nunique()
        n = of_model.size()
        is_constant = (counts[column] == 1) & (counts["query_id"] >= MIN_ROWS_CONSTANT)
        is_constant &= of_model["is_censored"].sum() < n
        message = f"{column} are the same in every row: metering looks made up"
        found += [("constant_metering", model, int(count), 1.0, message) for model, count in n[is_constant].items()]
    return found


def _thinking_cut(traces: pd.DataFrame) -> list[Warned]:
    """A mass of reasoning counts within a few tokens of their maximum: a thinking budget was spent.

    The answer came all the same, so these rows are what a request costs under that budget: not censored.
    """
    found: list[Warned] = []
    has_reasoned = (traces["reasoning_tokens"] > 0).fillna(False) & ~traces["is_censored"]
    for model, reasoning in traces.loc[has_reasoned, "reasoning_tokens"].groupby(traces["model"]):
        limit = int(reasoning.max())
        n_at = int((reasoning >= limit - 8).sum())
        n_below = int(((reasoning < limit - 8) & (reasoning >= 0.9 * limit)).sum())
        if limit >= 1024 and n_at >= max(5, 0.005 * len(reasoning)) and n_at >= 3 * n_below:
            message = f"thinking stopped at {limit - 8} to {limit} tokens: a thinking budget, answers are whole"
            share = n_at / (traces["model"] == model).sum()
            found.append(("thinking_budget_reached", model, n_at, share, message))
    return found
