"""A quote: what a batch of requests will take on each of several models, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from predictors.errors import InvalidInputError
from predictors.thinking_tokens.cost import estimated_input_tokens, price_forecast, request_rates
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from predictors.thinking_tokens.totals import BatchForecast, forecast_batch, simulate_totals

__all__ = ["Quote", "quote"]

QUANTILES = {0.05: "lower_90", 0.25: "lower_50", 0.5: "median", 0.75: "upper_50", 0.95: "upper_90"}


@dataclass(frozen=True)
class Quote:
    """What a batch will take.

    Attributes
    ----------
    requests : DataFrame
        One row per request and model: `request` (its index in the input), `model`, `mean`, `median`, the ends of
        the 50 % and 90 % intervals in output tokens, `reservation` (tokens to set aside), `max_tokens`, and each
        in dollars as ``cost_<name>_usd``, null where no price is known.
    totals : DataFrame
        One row per model, cheapest first: `n_requests`, `n_left_out`, mean, median and intervals of the total in
        ``tokens_*`` and ``usd_*``, `probability_over_budget`, `reservation_tokens`, `reservation_usd` and, where
        every request has a limit, `worst_case_tokens` and `worst_case_usd`, `is_known_model`, `problem`.
    left_out : DataFrame
        Requests that are not in the totals: `request`, `reason`.
    cheapest : str or None
        The model whose total is least at the wanted confidence.
    """

    requests: pd.DataFrame
    totals: pd.DataFrame
    left_out: pd.DataFrame
    cheapest: str | None


def quote(
    predictor: ThinkingTokensPredictor,
    requests: pd.DataFrame,
    models: Sequence[str],
    *,
    budget_usd: float | None = None,
    confidence: float = 0.9,
    reservation_level: float = 0.95,
    price_file: Path | None = None,
    n_draws: int = 1000,
    random_state: int | None = 0,
) -> Quote:
    """Forecast tokens and dollars of `requests` on each of `models`.

    Parameters
    ----------
    predictor : ThinkingTokensPredictor
        Fitted.
    requests : DataFrame of shape (n_requests, n_columns)
        Columns of `Requests` without `model`; a request without `prompt_text` is left out.
    models : sequence of str
        Names as in the traces that were learnt from; another name is forecast as an unknown model.
    budget_usd : float, optional
        Asks for the probability that the total exceeds it.
    confidence : float
        Probability with which the cheapest model stays under the total it is chosen by.
    reservation_level : float
        Quantile of each request's tokens that is set aside; gateways set aside `max_tokens`.
    price_file : Path, optional
        The user's own prices, see `prices`.
    n_draws : int
        Simulated batches.
    random_state : int, optional

    Raises
    ------
    InvalidInputError
        If no request is left, no model is named, one is named twice, or a probability is not within (0, 1).
    """
    _check(models, confidence, reservation_level)
    left_out = _left_out(requests)
    kept = requests[~requests.index.isin(left_out["request"])]
    if kept.empty:
        raise InvalidInputError(f"no request is left to quote: {len(requests)} given, {len(left_out)} left out")
    stacked = pd.concat([kept.assign(model=model, request=kept.index) for model in models], ignore_index=True)
    batch = forecast_batch(predictor, stacked, levels=sorted({*QUANTILES, reservation_level}))
    rows = _per_request(stacked, batch, reservation_level, price_file)
    rates = request_rates(stacked.assign(input_tokens=estimated_input_tokens(stacked)), price_file=price_file)
    fixed = (rates["request"] + rates["input"] * estimated_input_tokens(stacked)).to_numpy()
    per_token = rates["output"].to_numpy()
    totals = []
    for model in models:
        at = np.flatnonzero((stacked["model"] == model).to_numpy())
        part = BatchForecast(batch.steps[at], batch.shared_deviation[at], batch.groups[at], batch.max_tokens[at])
        tokens, usd = simulate_totals(
            part, usd_fixed=fixed[at], usd_per_token=per_token[at], n_draws=n_draws, random_state=random_state
        )
        totals.append(
            {
                "model": model,
                "n_requests": len(at),
                "n_left_out": len(left_out),
                **_summary("tokens", tokens),
                **_summary("usd", usd),
                "usd_at_confidence": float(np.quantile(usd, confidence)),
                "probability_over_budget": _over(usd, budget_usd),
                **_reservations(rows.iloc[at]),
                "is_known_model": model in predictor.known_models,
                "problem": _problem(model, predictor, usd),
            }
        )
    table = pd.DataFrame(totals).sort_values("usd_at_confidence", kind="stable", na_position="last", ignore_index=True)
    cheapest = None if table["usd_at_confidence"].isna().all() else str(table["model"].iloc[0])
    return Quote(rows, table, left_out, cheapest)


def _check(models: Sequence[str], confidence: float, reservation_level: float) -> None:
    if not models or len(set(models)) != len(models):
        raise InvalidInputError(f"`models` must name at least one model and none twice, got {list(models)}")
    for name, value in (("confidence", confidence), ("reservation_level", reservation_level)):
        if not 0 < value < 1:
            raise InvalidInputError(f"`{name}` must be in (0, 1), got {value}")


def _left_out(requests: pd.DataFrame) -> pd.DataFrame:
    if not requests.index.is_unique:
        raise InvalidInputError("`requests` must have a unique index: it names the requests in the quote")
    text = requests["prompt_text"] if "prompt_text" in requests else pd.Series(None, index=requests.index, dtype=object)
    empty = text.isna() | (text.astype(str).str.strip() == "")
    return pd.DataFrame({"request": requests.index[empty], "reason": "no text"})


def _per_request(
    X: pd.DataFrame, batch: BatchForecast, reservation_level: float, price_file: Path | None
) -> pd.DataFrame:
    quantiles = batch.quantiles
    assert quantiles is not None
    tokens = quantiles[list(QUANTILES)].rename(columns=QUANTILES)
    tokens.columns.name = None
    tokens.insert(0, "mean", batch.steps.mean(axis=1))
    tokens["reservation"] = quantiles[reservation_level]
    tokens["max_tokens"] = np.where(np.isinf(batch.max_tokens), np.nan, batch.max_tokens)
    return pd.concat([X[["request", "model"]], tokens, price_forecast(X, tokens, price_file=price_file)], axis=1)


def _summary(unit: str, draws: np.ndarray) -> dict[str, float]:
    ends = {f"{unit}_{name}": float(np.quantile(draws, level)) for level, name in QUANTILES.items()}
    return {f"{unit}_mean": float(draws.mean()), **ends}


def _over(usd: np.ndarray, budget_usd: float | None) -> float:
    return float("nan") if budget_usd is None or np.isnan(usd).any() else float((usd > budget_usd).mean())


def _reservations(rows: pd.DataFrame) -> dict[str, float]:
    """Sums of what is set aside per request; the worst case is null unless every request has a limit."""
    return {
        "reservation_tokens": float(rows["reservation"].sum()),
        "reservation_usd": float(rows["cost_reservation_usd"].sum(skipna=False)),
        "worst_case_tokens": float(rows["max_tokens"].sum(skipna=False)),
        "worst_case_usd": float(rows["cost_max_tokens_usd"].sum(skipna=False)),
    }


def _problem(model: str, predictor: ThinkingTokensPredictor, usd: np.ndarray) -> str | None:
    faults = []
    if model not in predictor.known_models:
        faults.append("never seen in training: forecast as an unknown model")
    if np.isnan(usd).any():
        faults.append("no price is known: tokens only")
    return "; ".join(faults) or None
