"""Raw canonical rows -> `request_traces`: keyed, numbered, censoring marked, priced, with nothing lost.

Whatever is not accepted is in the quarantine with its reason or counted as a duplicate:
``n_read == len(traces) + len(quarantine) + n_duplicates``.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from foretell.assets.engine.tables import LATER
from foretell.assets.lake.traces.warnings import trace_warnings
from foretell.assets.readers.core.messages import query_id_of_text
from foretell.assets.readers.core.records import RAW_SCHEMA, TOKEN_COLUMNS, raw_frame, rejects_frame
from foretell.predictors.arrays import Codes
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.schemas.quarantine import Quarantine, split_valid
from foretell.predictors.schemas.traces import RequestTraces

Pricer: TypeAlias = Callable[[pd.DataFrame], pd.DataFrame]
"""Rows of `request_traces` -> columns ``cost_usd``, ``price_version``, same index; null where no price is known."""

_NO_MODEL = {"", "unknown", "none", "null", "nan", "n/a", "na", "undefined", "default"}
_NOT_CONTENT = ["replicate", "source_file", "source_line", *LATER]
_TRACE_COLUMNS = list(RequestTraces.to_schema().columns)
_REMEDIES = {
    "reasoning_tokens exceed": "output counts that leave out reasoning must be added up before they are written",
    "cache reads and writes exceed": "input counts that leave out the cache must be added up before they are written",
    "without any token": "a failed call is no measurement; leave it out",
    "output_tokens": "log the usage block with every answer",
    "model": "log which model answered",
}
CORRECT = "correct the record at its source and ingest it again"


@dataclass(frozen=True)
class Curated:
    """Accepted rows and an account of all others: `n_read` = accepted + quarantined + duplicates.

    `traces` are ordered by time and key: the same records give the same table in whatever order they came. Duplicates
    were delivered more than once with the same content. `warnings`: see `trace_warnings`.
    """

    traces: pd.DataFrame
    quarantine: pd.DataFrame
    n_read: int
    n_duplicates: int
    warnings: pd.DataFrame

    def __post_init__(self) -> None:
        accounted = len(self.traces) + len(self.quarantine) + self.n_duplicates
        if self.n_read != accounted:
            raise AssertionError(f"{self.n_read} records read, {accounted} accounted for")

    @property
    def counts(self) -> dict[str, int]:
        """The account in numbers."""
        return {
            "read": self.n_read, "accepted": len(self.traces), "quarantined": len(self.quarantine),
            "duplicates": self.n_duplicates,
        }  # fmt: skip


def curate(raw: pd.DataFrame, *, price: Pricer, rejects: pd.DataFrame | None = None) -> Curated:
    """Make `request_traces` of raw rows (`RAW_SCHEMA`; absent columns are unknown), priced by `price`.

    Rejects of the readers become part of the quarantine.
    """
    rejects = rejects_frame([], "") if rejects is None else rejects
    frame = _typed(raw)
    impossible = _impossible(frame)
    is_bad = impossible != ""
    bad = _by_key(frame, is_bad)
    refused = [refused_rows(bad, impossible[bad.index]), refused_rows(rejects, rejects["reason"], rejects["remedy"])]
    frame = frame[~is_bad] if is_bad.any() else frame

    repeats, is_conflict = _repeated_keys(frame)
    reason = "the key came before with other content (`source`, `request_id` must name one request)"
    remedy = "give sources that number their requests alike different names"
    conflicts = repeats[is_conflict]
    refused.append(refused_rows(conflicts, pd.Series(reason, index=conflicts.index), remedy))
    n_duplicates = len(repeats) - len(conflicts)
    frame = frame.drop(index=repeats.index) if len(repeats) else frame

    frame = _in_time(_derived(frame))
    unpriced = frame.assign(replicate=0, cost_usd=np.nan, price_version=pd.Series(dtype="str"))
    traces, bad = split_valid(unpriced[_TRACE_COLUMNS], RequestTraces)
    bad = _by_key(bad)
    refused.append(refused_rows(bad, bad["reason"]))
    frame = frame.loc[traces.index].reset_index(drop=True) if len(bad) else frame
    traces = traces.reset_index(drop=True)
    traces["replicate"] = _replicates(frame)
    traces[["cost_usd", "price_version"]] = _priced(traces, price)
    quarantine = Quarantine.validate(pd.concat(refused, ignore_index=True))
    return Curated(traces, quarantine, len(raw) + len(rejects), n_duplicates, trace_warnings(traces, frame))


def concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack raw tables; of none, an empty raw table."""
    return pd.concat([raw_frame(RAW_SCHEMA.empty_table()), *frames], ignore_index=True)


def _typed(raw: pd.DataFrame) -> pd.DataFrame:
    """All columns of the raw schema with their types, whatever the caller's frame holds."""
    empty = raw_frame(RAW_SCHEMA.empty_table())
    columns = {}
    for name, dtype in empty.dtypes.items():
        values = raw[name] if name in raw else pd.Series(None, index=raw.index, dtype="object")
        if values.dtype == dtype:
            columns[name] = values
            continue
        if values.dtype == object:
            values = values.where(values.notna(), None)  # pd.NA is no float
        try:
            columns[name] = values.astype(dtype)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"column `{name}` of the raw rows is not {dtype}: {error}") from None
    return pd.DataFrame(columns).reset_index(drop=True)


def _impossible(frame: pd.DataFrame) -> pd.Series:
    """Why a row can not be a measurement, "" where it can."""
    reasons = pd.Series("", index=frame.index, dtype="str")

    def add(mask: pd.Series, reason: str) -> None:
        mask = mask.fillna(False).astype(bool)
        if mask.any():
            reasons[mask] = reasons[mask].where(reasons[mask] == "", reasons[mask] + "; ") + reason

    add(frame["model"].isna() | frame["model"].str.strip().str.lower().isin(_NO_MODEL), "the model is unknown")
    add(frame["request_id"].isna(), "the request has no id")
    add(frame["output_tokens"].isna(), "output_tokens are unknown")
    for column in TOKEN_COLUMNS:
        add(frame[column] < 0, f"{column} are negative")
    add(frame["is_cached_answer"], "answered from a response cache: the model was not run")
    return reasons


def _by_key(frame: pd.DataFrame, mask: pd.Series | None = None) -> pd.DataFrame:
    """Rows in an order that does not depend on how they came."""
    rows = frame if mask is None else frame[mask] if mask.any() else frame[:0]  # mostly none: no pass over all columns
    return rows.sort_values(["source", "request_id", "source_file", "source_line"], kind="stable")


def _repeated_keys(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Rows whose key came before, by file and line, and which of them differ in content from the first."""
    key = ["source", "request_id"]
    in_play = _by_key(frame, frame.duplicated(key, keep=False))
    is_repeat = in_play.duplicated(key)
    digest = pd.util.hash_pandas_object(in_play.drop(columns=_NOT_CONTENT), index=False)
    first = digest.groupby([in_play[name] for name in key]).transform("first")
    return in_play[is_repeat], (digest != first)[is_repeat]


def _in_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by time and key, which is unique."""
    keys = ["started_at", "source", "request_id"]
    table = pa.table({name: pa.array(frame[name]) for name in keys})
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    return (frame if (order[1:] > order[:-1]).all() else frame.take(order)).reset_index(drop=True)


def _derived(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the raw columns: ids (`query` numbers each `query_id`), configuration, censoring."""
    frame = frame.assign(model=frame["model"].str.strip(), query_id_was_null=frame["query_id"].isna())
    frame["query_id"], frame["query"] = _query_ids(frame)
    frame["config_hash"] = _config_hashes(frame)
    # Limits, seeds and probabilities that cannot be are unknown: they never cost a row.
    frame["max_tokens"] = frame["max_tokens"].mask((frame["max_tokens"] <= 0).fillna(False))
    for column in ("temperature", "top_p", "latency_s", "time_to_first_token_s", "cost_reported_usd"):
        frame[column] = frame[column].mask((frame[column] < 0) | np.isinf(frame[column]))
    frame["top_p"] = frame["top_p"].mask(frame["top_p"] > 1)
    log_probabilities = frame["answer_logprob"]
    frame["answer_logprob"] = log_probabilities.mask((log_probabilities > 0) | np.isinf(log_probabilities))
    frame["repeat_prob"] = frame["repeat_prob"].mask((frame["repeat_prob"] <= 0) | (frame["repeat_prob"] > 1))
    limits = frame[["model", "config_hash", "output_tokens", "max_tokens", "finish_reason"]]
    frame["is_censored"], frame["max_tokens"] = mark_censored(limits)
    return frame.drop(columns=["settings", "is_cached_answer"])


def _query_ids(frame: pd.DataFrame) -> tuple[pd.Series, Codes]:
    ids = frame["query_id"]
    codes, distinct = pd.factorize(ids)
    is_id = np.append(distinct.str.fullmatch(r"[0-9a-f]{64}"), False).astype(bool)[codes]  # of null the last: -1
    if is_id.all():
        return ids, codes
    ids = ids.where(is_id)
    texts = frame.loc[~is_id, "prompt_text"].dropna()
    ids = ids.fillna(texts.map({text: query_id_of_text(text) for text in texts.unique()}))
    # Without text the item of a benchmark is the query; without that nobody can tell two queries alike.
    rest = frame.loc[ids.isna(), ["source", "request_id", "benchmark", "item_id"]]
    item = "item:" + rest["benchmark"].fillna("") + "/" + rest["item_id"]
    alone = "request:" + rest["source"] + "/" + rest["request_id"]
    ids = ids.fillna(item.fillna(alone).map(lambda text: hashlib.sha256(text.encode()).hexdigest()))
    return ids, pd.factorize(ids)[0]


def _config_hashes(frame: pd.DataFrame) -> pd.Series:
    """Sixteen hex digits of what was asked of the model besides the query; the seed is left out on purpose."""
    settings = frame[["temperature", "top_p", "max_tokens", "reasoning_effort", "settings"]]
    codes = settings.groupby(list(settings), dropna=False, sort=False).ngroup()
    is_first = ~codes.duplicated()
    distinct = settings[is_first].to_numpy(object)
    texts = ["|".join("" if pd.isna(value) else str(value) for value in row) for row in distinct]
    hashes = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    return codes.map(pd.Series(hashes, index=codes[is_first], dtype="str")).astype("str")


def _replicates(frame: pd.DataFrame) -> pd.Series:
    """Number the runs of one query x model x configuration: in the order the source tells, else by time and key.

    `frame` is in the order of time and key.
    """
    group = frame[["query", "model", "config_hash"]]
    if frame["replicate"].notna().any():
        group = group.loc[frame["replicate"].sort_values(kind="stable").index]
    return group.groupby(list(group), sort=False).cumcount().astype("Int64").sort_index()


def _priced(frame: pd.DataFrame, price: Pricer) -> pd.DataFrame:
    costs = price(frame)
    if not costs.index.equals(frame.index) or not {"cost_usd", "price_version"} <= set(costs.columns):
        raise InvalidInputError(
            "`price` must return the columns cost_usd and price_version on the index of its argument"
        )
    return costs[["cost_usd", "price_version"]].astype({"cost_usd": "float64", "price_version": "str"})


def refused_rows(rows: pd.DataFrame, reasons: pd.Series, remedy: str | pd.Series | None = None) -> pd.DataFrame:
    """Rows of `Quarantine` before they are validated, null where `rows` lack a column; the reason tells the remedy."""
    reasons = reasons.astype("str")
    remedy = reasons.map(_remedy) if remedy is None else remedy
    told = {name: rows.get(name) for name in ("source_file", "source_line", "source", "request_id", "model")}
    return pd.DataFrame({"reason": reasons, "remedy": remedy, **told}, index=rows.index)


def _remedy(reason: str) -> str:
    return next((remedy for words, remedy in _REMEDIES.items() if words in reason), CORRECT)


# -- answers that were cut off ----------------------------------------------------------------------------
# A provider that says why it stopped is believed. Where nothing is said, a mass of answers at exactly their group's
# maximum gives the limit away: token counts are spread smoothly, so their largest value is reached once or twice,
# unless a limit cuts all longer answers to the same length.
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
