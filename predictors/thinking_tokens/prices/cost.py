"""Dollars: what requests have cost, and what a forecast of tokens will cost.

Thinking is billed at the output price. A model without a known price costs null, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .rates import NEWEST, PriceFile, Rates, published_rates, read_price_file

RATES: tuple[str, ...] = ("request", "input", "cache_read", "cache_write", "output", "reasoning")
"""Columns of `request_rates`: USD per request, then USD per token."""

CHARACTERS_PER_TOKEN = 4.0


def _groups(frame: pd.DataFrame, *names: str) -> Iterator[tuple[list[str], NDArray[np.intp]]]:
    """Rows that agree in these columns, with their values as texts; empty where a column is absent or null."""
    codes, texts = np.zeros((len(frame), len(names)), dtype=np.intp), []
    for place, name in enumerate(names):
        found, distinct = pd.factorize(frame[name]) if name in frame else (-1, ())
        codes[:, place] = found
        texts.append([str(value) for value in distinct] + [""])  # the last is that of -1
    width = max(map(len, texts))
    keys, group = np.unique(codes @ (width ** np.arange(len(names))), return_inverse=True)
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.searchsorted(group[order], np.arange(1, len(keys)))) if len(frame) else ():
        yield [text[code] for text, code in zip(texts, codes[rows[0]], strict=True)], rows


def _count(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Column `name` as floats, NaN where absent or null; shape (n_samples,)."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def request_rates(frame: pd.DataFrame, *, price_file: Path | None = None) -> pd.DataFrame:
    """Rates that apply to each request.

    Parameters
    ----------
    frame : DataFrame of shape (n_samples, n_columns)
        `model`, and where known `provider`, `service_tier`, `started_at` (UTC; without it the newest known
        price) and `input_tokens` (long inputs can have a price of their own; null counts as short).
    price_file : Path, optional
        The user's own prices (`prices.read_price_file`), which come before the published ones.

    Returns
    -------
    DataFrame of shape (n_samples, 7)
        Index of `frame`; columns `RATES` and `price_version`; null where no price is known.
    """
    user_prices = None if price_file is None else read_price_file(price_file)
    inputs = np.nan_to_num(_count(frame, "input_tokens"))
    minutes = _minutes(frame)
    rates = np.full((len(frame), len(RATES)), np.nan)
    versions = np.full(len(frame), None, dtype=object)
    for (model, provider, tier), rows in _groups(frame, "model", "provider", "service_tier"):
        codes, distinct = pd.factorize(minutes[rows])
        times = [NEWEST if pd.isna(t) else t.to_pydatetime() for t in pd.DatetimeIndex(distinct)]
        if (codes == -1).any():
            codes = np.where(codes == -1, len(times), codes)
            times.append(NEWEST)
        # Prices change seldom, minutes are many: one pass for each price.
        priced: dict[Rates, list[int]] = {}
        for i, row_rates in enumerate(_resolve(user_prices, model, provider or None, tier or None, times)):
            if row_rates is not None:
                priced.setdefault(row_rates, []).append(i)
        for row_rates, minutes_at in priced.items():
            here = rows if len(minutes_at) == len(times) else rows[np.isin(codes, minutes_at)]
            rates[here] = row_rates.as_array(inputs[here])
            versions[here] = row_rates.version
    table = pd.DataFrame(rates, index=frame.index, columns=list(RATES))
    table["price_version"] = pd.Series(versions, index=frame.index, dtype="str")
    return table


def _minutes(frame: pd.DataFrame) -> pd.DatetimeIndex:
    if "started_at" not in frame:
        return pd.DatetimeIndex([pd.NaT] * len(frame), tz="UTC")
    times = pd.to_datetime(frame["started_at"], utc=True)
    return pd.DatetimeIndex(times).floor("min")


def _resolve(
    user_prices: PriceFile | None, model: str, provider: str | None, tier: str | None, times: Sequence[datetime]
) -> list[Rates | None]:
    published = published_rates(model, provider, tier)
    public_rates: list[Rates | None] = [None] * len(times) if published is None else list(published(times))
    if user_prices is None:
        return public_rates
    by_day: dict[date, Rates | None] = {}
    for i, time in enumerate(times):
        day = time.astimezone(UTC).date()
        if day not in by_day:
            by_day[day] = user_prices.rates(model, provider, day, tier)
        public_rates[i] = by_day[day] or public_rates[i]
    return public_rates


def price_requests(frame: pd.DataFrame, *, price_file: Path | None = None) -> pd.DataFrame:
    """Price requests that were sent.

    Parameters
    ----------
    frame : DataFrame of shape (n_samples, n_columns)
        `model`, `input_tokens`, `output_tokens`; where known `provider`, `started_at`, `service_tier`,
        `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`. Input includes the cache, output
        includes reasoning.
    price_file : Path, optional
        The user's own prices, see `prices`.

    Returns
    -------
    DataFrame of shape (n_samples, 2)
        Index of `frame`. `cost_usd` (null where no price or no token count is known, never 0 for want of
        a price) and `price_version`, which says where the price is from.

    Examples
    --------
    >>> frame = pd.DataFrame({"model": ["gpt-5-mini"], "input_tokens": [1000], "output_tokens": [2000]})
    >>> price_requests(frame)["cost_usd"].round(6).tolist()
    [0.00425]
    """
    rates = request_rates(frame, price_file=price_file)
    read = np.nan_to_num(_count(frame, "cache_read_tokens"))
    write = np.nan_to_num(_count(frame, "cache_write_tokens"))
    reasoning = np.nan_to_num(_count(frame, "reasoning_tokens"))
    plain = np.maximum(_count(frame, "input_tokens") - read - write, 0.0)
    answer = np.maximum(_count(frame, "output_tokens") - reasoning, 0.0)
    counts = np.column_stack([np.ones(len(frame)), plain, read, write, answer, reasoning])
    cost = (rates[list(RATES)].to_numpy() * counts).sum(axis=1)
    version = rates["price_version"].where(~np.isnan(cost), None)
    return pd.DataFrame({"cost_usd": cost, "price_version": version}, index=frame.index)


def estimated_input_tokens(X: pd.DataFrame) -> NDArray[np.float64]:
    """`input_tokens`, or where null a quarter of the characters of the text, or NaN; shape (n_samples,)."""
    counted = _count(X, "input_tokens")
    if "prompt_text" not in X:
        return counted
    lengths = X["prompt_text"].str.len().to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(counted), np.ceil(lengths / CHARACTERS_PER_TOKEN), counted)


def price_forecast(X: pd.DataFrame, tokens: pd.DataFrame, *, price_file: Path | None = None) -> pd.DataFrame:
    """Turn a forecast of output tokens into dollars.

    The cost of a request rises with its tokens and nothing else about it is uncertain, so quantiles of
    tokens become quantiles of dollars, and a mean a mean.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_columns)
        The requests; see `request_rates` for what is used. Input tokens that are not known are estimated
        as a quarter of the characters.
    tokens : DataFrame of shape (n_samples, n_columns)
        Forecast of output tokens, index of `X`.

    Returns
    -------
    DataFrame of shape (n_samples, n_columns + 1)
        ``cost_<column>_usd`` for each column of `tokens`, and `price_version`; null where no price is known.
    """
    inputs = estimated_input_tokens(X)
    rates = request_rates(X.assign(input_tokens=inputs), price_file=price_file)
    fixed = rates["request"].to_numpy() + rates["input"].to_numpy() * inputs
    dollars = fixed[:, None] + rates["output"].to_numpy()[:, None] * tokens.to_numpy(dtype=np.float64)
    table = pd.DataFrame(dollars, index=X.index, columns=[f"cost_{name}_usd" for name in tokens.columns])
    table["price_version"] = rates["price_version"]
    return table
