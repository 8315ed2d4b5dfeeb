"""Which answers were cut off, so that their tokens are lower bounds.

A provider that says why it stopped is believed. Where nothing is said, a mass of answers at exactly
their group's maximum gives the limit away: token counts are spread smoothly, so their largest value
is reached once or twice, unless a limit cuts all longer answers to the same length.
"""

from __future__ import annotations

import pandas as pd

MIN_ROWS_AT_CAP = 5
MIN_SHARE_AT_CAP = 0.01
MIN_CAP_TOKENS = 64
"""Below this an answer is a label or a number, whose lengths repeat without any limit."""
MIN_RATIO = 3
"""The maximum must be this many times as frequent as any other value in the upper half of the range."""


def mark_censored(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return ``is_censored`` and ``max_tokens`` of each row.

    A row is censored if its `finish_reason` is ``length``; if that is null and `output_tokens` reach
    `max_tokens`; or if that is null and the row belongs to a mass at the maximum of its model x
    `config_hash`: at least `MIN_ROWS_AT_CAP` rows and `MIN_SHARE_AT_CAP` of the group at exactly one
    maximum of at least `MIN_CAP_TOKENS`, which is `MIN_RATIO` times as frequent as any other value above
    half of it, with at least one other value in the group (a constant is synthetic metering, not a limit).
    A limit found by its mass becomes the `max_tokens` of its group where that is null.
    """
    output = frame["output_tokens"]
    unsaid = frame["finish_reason"].isna()
    at_limit = (output >= frame["max_tokens"]).fillna(False).astype(bool)
    is_censored = (frame["finish_reason"] == "length") | (unsaid & at_limit)
    max_tokens = frame["max_tokens"].copy()
    caps = _caps(frame[unsaid])
    if len(caps):
        cap = frame[["model", "config_hash"]].merge(caps, on=["model", "config_hash"], how="left")["cap"]
        cap = cap.set_axis(frame.index).astype("Int64")
        is_censored |= unsaid & (output == cap).fillna(False).astype(bool)
        max_tokens = max_tokens.fillna(cap)
    return is_censored.astype(bool), max_tokens


def _caps(unsaid: pd.DataFrame) -> pd.DataFrame:
    """Limits found by their mass: columns model, config_hash, cap."""
    group = ["model", "config_hash"]
    counts = unsaid.groupby([*group, "output_tokens"], dropna=True).size().rename("n").reset_index()
    if counts.empty:
        return counts.assign(cap=[])[[*group, "cap"]]
    by_group = counts.groupby(group)
    counts["cap"] = by_group["output_tokens"].transform("max")
    counts["n_rows"] = by_group["n"].transform("sum")
    counts["n_values"] = by_group["n"].transform("size")
    below = counts[(counts["output_tokens"] < counts["cap"]) & (counts["output_tokens"] > counts["cap"] / 2)]
    rival = below.groupby(group)["n"].max().rename("rival").reset_index()
    top = counts[counts["output_tokens"] == counts["cap"]].merge(rival, on=group, how="left").fillna({"rival": 0})
    found = (
        (top["n"] >= MIN_ROWS_AT_CAP)
        & (top["n"] >= MIN_SHARE_AT_CAP * top["n_rows"])
        & (top["cap"] >= MIN_CAP_TOKENS)
        & (top["n"] >= MIN_RATIO * top["rival"])
        & (top["n_values"] > 1)
    )
    return top.loc[found.astype(bool), [*group, "cap"]].reset_index(drop=True)
