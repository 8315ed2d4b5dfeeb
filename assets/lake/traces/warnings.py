"""What is accepted into `request_traces` but should be known before anyone trusts a forecast of it."""

from collections.abc import Hashable
from typing import TypeAlias

import numpy as np
import pandas as pd

from foretell.assets.store.money import percent
from foretell.predictors.arrays import Codes, numbers_of

Warned: TypeAlias = tuple[str, Hashable, int, float, str]
WARNING_COLUMNS = ["check", "model", "n_rows", "share", "message"]
MOST_MODELS = 500
"""Models that a check warns of one by one, those of most rows; of the others it warns as `OTHERS`."""
OTHERS = "(others)"
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
    code, models = pd.factorize(traces["model"], sort=True)
    found = _by_model(traces, raw, code, models) + _constant_metering(traces, code)
    return pd.DataFrame(found + _thinking_cut(traces, code, models), columns=WARNING_COLUMNS)


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


def _by_model(traces: pd.DataFrame, raw: pd.DataFrame, code: Codes, models: pd.Index) -> list[Warned]:
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
        "cost_not_reported": _cost_lost(traces, code),
        "thinking_off": _thinking_off(traces, code),
        "total_differs": raw["total_tokens"] != raw["input_tokens"] + raw["output_tokens"],
    }
    found: list[Warned] = []
    for check, mask in masks.items():
        # `raw` and `traces` are the same requests in the same order.
        counts = np.bincount(code[mask.fillna(False).to_numpy(bool)], minlength=len(models))
        sizes = np.bincount(code)
        places = np.flatnonzero(counts / sizes > (MAX_TYPICAL_CENSORED if check == "censoring" else 0))
        rest = np.sort(np.argsort(-counts[places], kind="stable")[MOST_MODELS:])
        for place in np.delete(places, rest).tolist():
            found.append((check, models[place], int(counts[place]), counts[place] / sizes[place], _MESSAGES[check]))
        if len(rest):
            n = int(counts[places[rest]].sum())
            found.append((check, OTHERS, n, n / sizes[places[rest]].sum(), f"{len(rest):,} models: {_MESSAGES[check]}"))
    return found


def _cost_lost(traces: pd.DataFrame, code: Codes) -> pd.Series:
    """Rows without a reported cost, or with one of 0, of models that mostly have one."""
    lost = traces["cost_reported_usd"].isna() | (traces["cost_reported_usd"] == 0)
    return lost & (2 * np.bincount(code, lost) < np.bincount(code))[code]


def _thinking_off(traces: pd.DataFrame, code: Codes) -> pd.Series:
    """Rows of models that report reasoning tokens, of which there are next to none but not none."""
    known = traces["reasoning_tokens"].notna()
    reasoning = np.bincount(code, np.nan_to_num(numbers_of(traces, "reasoning_tokens")))
    output = np.bincount(code, numbers_of(traces, "output_tokens") * known)
    return known & ((reasoning > 0) & (reasoning < MIN_THINKING_SHARE * output))[code]


def _constant_metering(traces: pd.DataFrame, code: Codes) -> list[Warned]:
    """Counts that never vary were made up, not metered (RouterArena#191: 40 input tokens on every row)."""
    found: list[Warned] = []
    for column in ("input_tokens", "output_tokens", "reasoning_tokens"):
        tokens = traces[column].fillna(0).astype("int64")
        largest = tokens.groupby(code).transform("max")
        varies = np.isin(code, code[(tokens > 0) & (tokens < largest)])
        of_model = traces.loc[(tokens > 0) & ~varies, ["model", "query_id", "is_censored"]].groupby("model")
        n = of_model.size()
        is_constant = (of_model["query_id"].nunique() >= MIN_ROWS_CONSTANT) & (of_model["is_censored"].sum() < n)
        message = f"{column} are the same in every row: metering looks made up"
        found += [("constant_metering", model, int(count), 1.0, message) for model, count in n[is_constant].items()]
    return found


def _thinking_cut(traces: pd.DataFrame, code: Codes, models: pd.Index) -> list[Warned]:
    """A mass of reasoning counts within a few tokens of their maximum: a thinking budget was spent.

    The answer came all the same, so these rows are what a request costs under that budget: not censored.
    """
    found: list[Warned] = []
    tokens, sizes = np.nan_to_num(numbers_of(traces, "reasoning_tokens")), np.bincount(code)
    has_reasoned = (tokens > 0) & ~traces["is_censored"].to_numpy()
    has_reasoned &= (np.bincount(code, has_reasoned) >= 5)[code]  # a budget that fewer have met does not show
    for place, reasoning in traces.loc[has_reasoned, "reasoning_tokens"].groupby(code[has_reasoned]):
        limit = int(reasoning.max())
        n_at = int((reasoning >= limit - 8).sum())
        n_below = int(((reasoning < limit - 8) & (reasoning >= 0.9 * limit)).sum())
        if limit >= 1024 and n_at >= max(5, 0.005 * len(reasoning)) and n_at >= 3 * n_below:
            message = f"thinking stopped at {limit - 8} to {limit} tokens: a thinking budget, answers are whole"
            found.append(("thinking_budget_reached", models[place], n_at, n_at / sizes[place], message))
    return found
