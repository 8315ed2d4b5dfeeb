"""Dollars: what requests have cost, and what a forecast of tokens will cost.

Thinking is billed at the output price. A model without a known price costs null, never 0.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Floats, numbers_of
from ..pooling.cells import row_groups
from ..pooling.hierarchy import SEPARATOR, cell_keys
from .rates import NEWEST, PriceFile, Rates, published_rates, read_price_file

RATES: tuple[str, ...] = ("request", "input", "cache_read", "cache_write", "output", "reasoning")
"""Columns of `request_rates`: USD per request, then USD per token."""

CASE: tuple[str, ...] = ("model", "provider", "service_tier")
"""What a price depends on beside the time and the length of the input."""

CHARACTERS_PER_TOKEN = 4.0


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
    rates, versions = _rates(frame, numbers_of(frame, "input_tokens"), price_file)
    table = pd.DataFrame(rates, index=frame.index, columns=list(RATES))
    table["price_version"] = pd.Series(versions, index=frame.index, dtype="str")
    return table


def _rates(frame: pd.DataFrame, inputs: Floats, price_file: Path | None) -> tuple[Floats, NDArray[np.object_]]:
    """Columns of `request_rates`: `RATES` (n_samples, 6) and `price_version` (n_samples,)."""
    user_prices = None if price_file is None else read_price_file(price_file)
    inputs = np.nan_to_num(inputs)
    minute_of_row, minutes = np.zeros(len(frame), dtype=np.intp), [NEWEST]
    if "started_at" in frame:
        times = pd.to_datetime(frame["started_at"], utc=True).astype("datetime64[us, UTC]")
        minute_of_row, distinct = pd.factorize(times.dt.floor("min").fillna(NEWEST))
        minutes = [time.to_pydatetime() for time in distinct]
    rates = np.full((len(frame), len(RATES)), np.nan)
    versions = np.full(len(frame), None, dtype=object)
    case_of_row, cases = pd.factorize(cell_keys(frame, CASE))
    # Names are many, entries of a list of prices few: what costs the same is one group.
    resolvers = [_resolver(user_prices, *case.split(SEPARATOR)) for case in cases]
    by_id = {id(each): each for each in resolvers}
    codes, ids = pd.factorize(np.array([id(each) for each in resolvers], dtype=np.int64)[case_of_row])
    for code, rows in row_groups(codes):
        rates_at = by_id[ids[code]]
        # Prices change seldom, minutes are many: one pass for each price.
        of_row, at = pd.factorize(minute_of_row[rows])
        of_minute, prices = pd.factorize(np.array([rates_at(minutes[place]) for place in at], dtype=object))
        for place, price in enumerate(prices):
            here = rows[of_minute[of_row] == place]
            rates[here], versions[here] = price.as_array(inputs[here]), price.version
    return rates, versions


def _resolver(
    user_prices: PriceFile | None, model: str, provider: str, tier: str
) -> Callable[[datetime], Rates | None]:
    """Rates by the time of the request: the user's own, else published ones."""
    published = published_rates(model, provider or None, tier or None)
    if user_prices is None:
        return published

    @cache
    def own(day: date) -> Rates | None:
        return user_prices.rates(model, provider or None, day, tier or None)

    return lambda time: own(time.astimezone(UTC).date()) or published(time)


def price_requests(frame: pd.DataFrame, *, price_file: Path | None = None) -> pd.DataFrame:
    """Price requests that were sent.

    Read are `model`, `input_tokens`, `output_tokens`; where known `provider`, `started_at`, `service_tier`,
    `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`. Input includes the cache, output reasoning.

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
    parts = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    read, write, reasoning = (np.nan_to_num(numbers_of(frame, name)) for name in parts)
    plain = np.maximum(numbers_of(frame, "input_tokens") - read - write, 0.0)
    answer = np.maximum(numbers_of(frame, "output_tokens") - reasoning, 0.0)
    counts = np.column_stack([np.ones(len(frame)), plain, read, write, answer, reasoning])
    cost = (rates[list(RATES)].to_numpy() * counts).sum(axis=1)
    version = rates["price_version"].where(~np.isnan(cost), None)
    return pd.DataFrame({"cost_usd": cost, "price_version": version}, index=frame.index)


def estimated_input_tokens(X: pd.DataFrame) -> Floats:
    """`input_tokens`, or where null a quarter of the characters of the text, or NaN; shape (n_samples,)."""
    counted = numbers_of(X, "input_tokens")
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
    rates, versions = _rates(X, inputs, price_file)
    of = dict(zip(RATES, rates.T, strict=True))
    dollars = (of["request"] + of["input"] * inputs)[:, None] + of["output"][:, None] * tokens.to_numpy(np.float64)
    table = pd.DataFrame(dollars, index=X.index, columns=[f"cost_{name}_usd" for name in tokens.columns])
    table["price_version"] = pd.array(versions, dtype="str")
    return table
