"""Raw canonical rows -> `request_traces`: keyed, numbered, censoring marked, priced, with nothing lost.

Whatever is not accepted is in the quarantine with its reason or counted as a duplicate:
``n_read == len(traces) + len(quarantine) + n_duplicates``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from assets.censoring import mark_censored
from assets.readers.base import RAW_SCHEMA, TOKEN_COLUMNS, empty_rejects, raw_frame
from assets.readers.messages import query_id_of_text
from assets.trace_warnings import trace_warnings
from predictors.errors import InvalidInputError
from predictors.schemas.quarantine import Quarantine, split_valid
from predictors.schemas.traces import RequestTraces

__all__ = ["Curated", "Pricer", "concat", "curate"]

Pricer: TypeAlias = Callable[[pd.DataFrame], pd.DataFrame]
"""Rows of `request_traces` -> columns ``cost_usd``, ``price_version``, same index; null where no price is known."""

_NO_MODEL = {"", "unknown", "none", "null", "nan", "n/a", "na", "undefined", "default"}
_NOT_CONTENT = ["replicate", "source_file", "source_line"]
_TRACE_COLUMNS = list(RequestTraces.to_schema().columns)
_REMEDIES = {
    "reasoning_tokens exceed": "output counts that leave out reasoning must be added up before they are written",
    "cache reads and writes exceed": "input counts that leave out the cache must be added up before they are written",
    "without any token": "a failed call is no measurement; leave it out",
    "output_tokens": "log the usage block with every answer",
    "model": "log which model answered",
}
_REMEDY = "correct the record at its source and ingest it again"


@dataclass(frozen=True)
class Curated:
    """Accepted rows and an account of all others.

    Attributes
    ----------
    traces : DataFrame
        `request_traces`, ordered by time and key: the same records give the same table in whatever order they came.
    quarantine : DataFrame
        Schema `Quarantine`.
    n_read : int
        Records that came in: accepted + quarantined + duplicates.
    n_duplicates : int
        Records delivered more than once with the same content, beyond the first.
    warnings : DataFrame
        What is accepted but should be known; columns ``check``, ``model``, ``n_rows``, ``share``, ``message``.
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


def curate(raw: pd.DataFrame, *, price: Pricer, rejects: pd.DataFrame | None = None) -> Curated:
    """Make `request_traces` of raw rows.

    Parameters
    ----------
    raw : DataFrame
        Columns of `assets.readers.base.RAW_SCHEMA`; absent ones are taken as unknown.
    price : callable
        Prices the accepted rows; see `Pricer`.
    rejects : DataFrame, optional
        Rejects of the readers, which become part of the quarantine.

    Returns
    -------
    Curated
        The counts add up.
    """
    rejects = empty_rejects() if rejects is None else rejects
    frame = _typed(raw)
    frame = frame.sort_values(["source", "request_id", "source_file", "source_line"], kind="stable", ignore_index=True)
    impossible = _impossible(frame)
    quarantined = [_quarantine(frame[impossible != ""], impossible[impossible != ""]), _from_rejects(rejects)]
    frame = frame[impossible == ""].reset_index(drop=True)

    is_repeat, is_conflict = _repeated_keys(frame)
    reason = "the key came before with other content (`source`, `request_id` must name one request)"
    remedy = "give sources that number their requests alike different names"
    quarantined.append(_quarantine(frame[is_conflict], pd.Series(reason, index=frame.index[is_conflict]), remedy))
    n_duplicates = int((is_repeat & ~is_conflict).sum())
    frame = frame[~is_repeat].reset_index(drop=True)

    frame = _derived(frame)
    valid, bad = split_valid(frame[_TRACE_COLUMNS], RequestTraces)
    quarantined.append(_quarantine(bad, bad["reason"]))
    frame = frame.loc[valid.index]
    order = valid.sort_values(["started_at", "source", "request_id"], kind="stable").index
    traces, frame = valid.loc[order].reset_index(drop=True), frame.loc[order].reset_index(drop=True)
    traces["replicate"] = _replicates(traces, frame["replicate_hint"])
    traces[["cost_usd", "price_version"]] = _priced(traces, price)
    warnings = trace_warnings(traces, frame)
    quarantine = Quarantine.validate(pd.concat(quarantined, ignore_index=True))
    return Curated(traces, quarantine, len(raw) + len(rejects), n_duplicates, warnings)


def concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack raw tables; of none, an empty raw table."""
    return pd.concat([raw_frame(RAW_SCHEMA.empty_table()), *frames], ignore_index=True)


def _typed(raw: pd.DataFrame) -> pd.DataFrame:
    """All columns of the raw schema with their types, whatever the caller's frame holds."""
    empty = raw_frame(RAW_SCHEMA.empty_table())
    columns = {}
    for name, dtype in empty.dtypes.items():
        values = raw[name] if name in raw else pd.Series(None, index=raw.index, dtype="object")
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


def _repeated_keys(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Rows whose key came before, and those among them whose content differs from the first."""
    key = ["source", "request_id"]
    is_repeat = frame.duplicated(key)
    if not is_repeat.any():
        return is_repeat, is_repeat
    in_play = frame.duplicated(key, keep=False)
    content = frame.loc[in_play].drop(columns=_NOT_CONTENT)
    digest = pd.util.hash_pandas_object(content, index=False)
    first = digest.groupby([content[name] for name in key]).transform("first")
    is_conflict = pd.Series(False, index=frame.index)
    is_conflict[in_play] = (digest != first).to_numpy()
    return is_repeat, is_conflict & is_repeat


def _derived(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the raw columns: ids, configuration, censoring."""
    frame = frame.assign(model=frame["model"].str.strip(), replicate_hint=frame["replicate"])
    frame["query_id_was_null"] = frame["query_id"].isna()
    frame["cost_usd"], frame["price_version"] = np.nan, pd.Series(pd.NA, index=frame.index, dtype="str")
    frame["replicate"] = pd.Series(0, index=frame.index, dtype="Int64")
    frame["query_id"] = _query_ids(frame)
    frame["config_hash"] = _config_hashes(frame)
    # Limits, seeds and probabilities that cannot be are unknown: they never cost a row.
    frame["max_tokens"] = frame["max_tokens"].mask((frame["max_tokens"] <= 0).fillna(False))
    for column in ("temperature", "top_p", "latency_s", "time_to_first_token_s", "cost_reported_usd"):
        frame[column] = frame[column].mask((frame[column] < 0) | np.isinf(frame[column]))
    frame["top_p"] = frame["top_p"].mask(frame["top_p"] > 1)
    frame["repeat_prob"] = frame["repeat_prob"].mask((frame["repeat_prob"] <= 0) | (frame["repeat_prob"] > 1))
    frame["is_censored"], frame["max_tokens"] = mark_censored(frame)
    return frame


def _query_ids(frame: pd.DataFrame) -> pd.Series:
    ids = frame["query_id"].where(frame["query_id"].str.fullmatch(r"[0-9a-f]{64}").fillna(False).astype(bool))
    hashable = ids.isna() & frame["prompt_text"].notna()
    if hashable.any():
        ids[hashable] = frame.loc[hashable, "prompt_text"].map(query_id_of_text)
    # Without text the item of a benchmark is the query; without that nobody can tell two queries alike.
    item = "item:" + frame["benchmark"].fillna("") + "/" + frame["item_id"]
    alone = "request:" + frame["source"] + "/" + frame["request_id"]
    missing = ids.isna()
    if missing.any():
        ids[missing] = item[missing].fillna(alone[missing]).map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    return ids


def _config_hashes(frame: pd.DataFrame) -> pd.Series:
    """Sixteen hex digits of what was asked of the model besides the query; the seed is left out on purpose."""
    settings = frame[["temperature", "top_p", "max_tokens", "reasoning_effort", "settings"]]
    codes = settings.groupby(list(settings), dropna=False, sort=False).ngroup()
    distinct = settings.assign(code=codes).drop_duplicates("code").set_index("code")
    texts = ["|".join("" if pd.isna(value) else str(value) for value in row) for row in distinct.to_numpy(dtype=object)]
    hashes = pd.Series([hashlib.sha256(t.encode()).hexdigest()[:16] for t in texts], index=distinct.index, dtype="str")
    return codes.map(hashes).astype("str")


def _replicates(traces: pd.DataFrame, hint: pd.Series) -> pd.Series:
    """Number the runs of one query x model x configuration: in the order the source tells, else by time and key."""
    order = traces.assign(hint=hint).sort_values(["hint", "started_at", "source", "request_id"], kind="stable")
    return order.groupby(["query_id", "model", "config_hash"], sort=False).cumcount().astype("Int64").sort_index()


def _priced(frame: pd.DataFrame, price: Pricer) -> pd.DataFrame:
    costs = price(frame)
    if not costs.index.equals(frame.index) or not {"cost_usd", "price_version"} <= set(costs.columns):
        raise InvalidInputError(
            "`price` must return the columns cost_usd and price_version on the index of its argument"
        )
    return costs[["cost_usd", "price_version"]].astype({"cost_usd": "float64", "price_version": "str"})


def _quarantine(rows: pd.DataFrame, reasons: pd.Series, remedy: str | None = None) -> pd.DataFrame:
    reasons = reasons.astype("str")
    remedies = reasons.map(_remedy) if remedy is None else pd.Series(remedy, index=reasons.index)
    columns = ["source_file", "source_line", "source", "request_id", "model"]
    return pd.DataFrame({"reason": reasons, "remedy": remedies, **{name: rows[name] for name in columns}})


def _from_rejects(rejects: pd.DataFrame) -> pd.DataFrame:
    told = rejects[["reason", "remedy", "source_file", "source_line"]]
    return told.assign(source=None, request_id=None, model=None)


def _remedy(reason: str) -> str:
    return next((remedy for words, remedy in _REMEDIES.items() if words in reason), _REMEDY)
