"""A quote: what a batch of requests will take on each of several models, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from predictors.errors import InvalidInputError
from predictors.thinking_tokens.cost import estimated_input_tokens, request_rates
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from predictors.thinking_tokens.totals import BatchForecast, forecast_batch, simulate_totals

__all__ = ["Option", "Quote", "quote"]

QUANTILES = {0.05: "lower_90", 0.25: "lower_50", 0.5: "median", 0.75: "upper_50", 0.95: "upper_90"}


@dataclass(frozen=True)
class Option:
    """One way to send the batch: a model, and what of the requests' own settings is replaced (None: nothing)."""

    model: str
    reasoning_effort: str | None = None
    max_tokens: float | None = None

    def applied(self, requests: pd.DataFrame) -> pd.DataFrame:
        """`requests` as this option sends them."""
        sent = requests.assign(model=self.model, request=requests.index)
        if self.reasoning_effort is not None:
            sent["reasoning_effort"] = self.reasoning_effort
        if self.max_tokens is not None:
            sent["max_tokens"] = float(self.max_tokens)
        return sent


@dataclass(frozen=True)
class Quote:
    """What a batch will take.

    Attributes
    ----------
    requests : DataFrame
        One row per request and option: `request` (its index in the input), `option`, `model`, `reasoning_effort`,
        `mean`, `median`, the ends of the 50 % and 90 % intervals in output tokens, `reservation` (tokens to set aside),
        `max_tokens`, and each in dollars as ``cost_<name>_usd``, null where no price is known.
    totals : DataFrame
        One row per option, cheapest first: `option`, `model`, `reasoning_effort` and `max_tokens` where the option sets
        them, `n_requests`, `n_left_out`, mean, median and intervals of the total in ``tokens_*`` and ``usd_*``,
        `probability_over_budget`, `reservation_tokens`, `reservation_usd` and, where every request has a limit,
        `worst_case_tokens` and `worst_case_usd`, `is_known_model`, `price_version`, `input_usd_per_mtok`,
        `output_usd_per_mtok`, `problem`.
    left_out : DataFrame
        Requests that are not in the totals: `request`, `reason`.
    cheapest : str or None
        The option (the model, where only models differ) whose total is least at the wanted confidence.
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
    reasoning_efforts: Sequence[str] = (),
    max_tokens: Sequence[float] = (),
    budget_usd: float | None = None,
    confidence: float = 0.9,
    reservation_level: float = 0.95,
    service_tier: str | None = None,
    cached_share: float = 0.0,
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
    reasoning_efforts, max_tokens : sequences, optional
        What if: every model is quoted with each effort and each limit in place of the requests' own.
    budget_usd : float, optional
        Asks for the probability that the total exceeds it.
    confidence : float
        Probability with which the cheapest option stays under the total it is chosen by.
    reservation_level : float
        Quantile of each request's tokens that is set aside; gateways set aside `max_tokens`.
    service_tier : str, optional
        Tier to price at, such as ``batch`` or ``flex``; the requests' own `service_tier` by default.
    cached_share : float
        Share of the input tokens that a prompt cache serves, in [0, 1].
    price_file : Path, optional
        The user's own prices, see `prices`.
    n_draws : int
        Simulated batches.
    random_state : int, optional

    Raises
    ------
    InvalidInputError
        If no request is left, no model is named, one is named twice, a limit is not positive, or a probability or share
        is out of range.
    """
    options = _options(models, reasoning_efforts, max_tokens)
    _check_shares(confidence, reservation_level, cached_share)
    left_out = _left_out(requests)
    kept = requests[~requests.index.isin(left_out["request"])]
    if kept.empty:
        raise InvalidInputError(f"no request is left to quote: {len(requests)} given, {len(left_out)} left out")
    names = _names(options)
    sent = [option.applied(kept).assign(option=name) for option, name in zip(options, names, strict=True)]
    stacked = pd.concat(sent, ignore_index=True)
    if service_tier is not None:
        stacked["service_tier"] = service_tier
    batch = forecast_batch(predictor, stacked, levels=sorted({*QUANTILES, reservation_level}))
    inputs = estimated_input_tokens(stacked)
    rates = request_rates(stacked.assign(input_tokens=inputs), price_file=price_file)
    per_input = (1 - cached_share) * rates["input"] + cached_share * rates["cache_read"]
    fixed = (rates["request"] + per_input * inputs).to_numpy(dtype=np.float64)
    per_token = rates["output"].to_numpy(dtype=np.float64)
    rows = _per_request(stacked, batch, reservation_level, fixed, per_token)
    configs = set(predictor.known_configs)
    totals = []
    for place, (option, name) in enumerate(zip(options, names, strict=True)):
        at = np.arange(place * len(kept), (place + 1) * len(kept))
        part = BatchForecast(batch.steps[at], batch.shared_deviation[at], batch.groups[at], batch.max_tokens[at])
        tokens, usd = simulate_totals(
            part, usd_fixed=fixed[at], usd_per_token=per_token[at], n_draws=n_draws, random_state=random_state
        )
        of_option = rates.iloc[at]
        totals.append(
            {
                "option": name,
                "model": option.model,
                "reasoning_effort": option.reasoning_effort,
                "max_tokens": np.nan if option.max_tokens is None else float(option.max_tokens),
                "n_requests": len(at),
                "n_left_out": len(left_out),
                **_summary("tokens", tokens),
                **_summary("usd", usd),
                "usd_at_confidence": float(np.quantile(usd, confidence)),
                "probability_over_budget": _over(usd, budget_usd),
                **_reservations(rows.iloc[at]),
                "is_known_model": option.model in predictor.known_models,
                "price_version": next(iter(of_option["price_version"].dropna()), None),
                "input_usd_per_mtok": 1e6 * float(of_option["input"].median()),
                "output_usd_per_mtok": 1e6 * float(of_option["output"].median()),
                "problem": _problem(stacked.iloc[at], predictor, configs, usd),
            }
        )
    table = pd.DataFrame(totals).sort_values("usd_at_confidence", kind="stable", na_position="last", ignore_index=True)
    cheapest = None if table["usd_at_confidence"].isna().all() else str(table["option"].iloc[0])
    return Quote(rows, table, left_out, cheapest)


def _options(models: Sequence[str], efforts: Sequence[str], limits: Sequence[float]) -> list[Option]:
    if not models or len(set(models)) != len(models):
        raise InvalidInputError(f"`models` must name at least one model and none twice, got {list(models)}")
    if not all(limit > 0 for limit in limits):
        raise InvalidInputError(f"`max_tokens` must be positive, got {list(limits)}")
    some_efforts: list[str | None] = [*dict.fromkeys(efforts)] or [None]
    some_limits: list[float | None] = [*dict.fromkeys(limits)] or [None]
    return [Option(model, effort, limit) for model in models for effort in some_efforts for limit in some_limits]


def _names(options: Sequence[Option]) -> list[str]:
    """The model, and what else differs between options."""
    some_effort = len({option.reasoning_effort for option in options}) > 1
    some_limit = len({option.max_tokens for option in options}) > 1
    names = []
    for option in options:
        more = [option.reasoning_effort] if some_effort else []
        more += [f"max {option.max_tokens:,.0f}"] if some_limit and option.max_tokens is not None else []
        names.append(", ".join([option.model, *(part for part in more if part)]))
    return names


def _check_shares(confidence: float, reservation_level: float, cached_share: float) -> None:
    for name, value in (("confidence", confidence), ("reservation_level", reservation_level)):
        if not 0 < value < 1:
            raise InvalidInputError(f"`{name}` must be in (0, 1), got {value}")
    if not 0 <= cached_share <= 1:
        raise InvalidInputError(f"`cached_share` must be in [0, 1], got {cached_share}")


def _left_out(requests: pd.DataFrame) -> pd.DataFrame:
    if not requests.index.is_unique:
        raise InvalidInputError("`requests` must have a unique index: it names the requests in the quote")
    text = requests["prompt_text"] if "prompt_text" in requests else pd.Series(None, index=requests.index, dtype=object)
    empty = text.isna() | (text.astype(str).str.strip() == "")
    return pd.DataFrame({"request": requests.index[empty], "reason": "no text"})


def _per_request(
    X: pd.DataFrame, batch: BatchForecast, reservation_level: float, fixed: np.ndarray, per_token: np.ndarray
) -> pd.DataFrame:
    quantiles = batch.quantiles
    assert quantiles is not None
    tokens = quantiles[list(QUANTILES)].rename(columns=QUANTILES)
    tokens.columns.name = None
    tokens.insert(0, "mean", batch.steps.mean(axis=1))
    tokens["reservation"] = quantiles[reservation_level]
    tokens["max_tokens"] = np.where(np.isinf(batch.max_tokens), np.nan, batch.max_tokens)
    # What a request costs rises with its tokens and nothing else about it is uncertain.
    dollars = pd.DataFrame(
        fixed[:, None] + per_token[:, None] * tokens.to_numpy(dtype=np.float64),
        index=tokens.index,
        columns=[f"cost_{name}_usd" for name in tokens.columns],
    )
    efforts = X["reasoning_effort"] if "reasoning_effort" in X else pd.Series(None, index=X.index, dtype=object)
    told = X[["request", "option", "model"]].assign(reasoning_effort=efforts)
    return pd.concat([told, tokens, dollars], axis=1)


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


def _problem(
    sent: pd.DataFrame, predictor: ThinkingTokensPredictor, configs: set[tuple[str, str]], usd: np.ndarray
) -> str | None:
    faults = []
    model = str(sent["model"].iloc[0])
    if model not in predictor.known_models:
        faults.append("never seen in training: forecast as an unknown model")
    elif "reasoning_effort" in sent:
        efforts = sorted({str(effort) for effort in sent["reasoning_effort"].dropna()})
        unseen = [effort for effort in efforts if (model, effort) not in configs]
        if unseen:
            faults.append(f"never seen with effort {', '.join(unseen)}: forecast as the model is on average")
    if np.isnan(usd).any():
        faults.append("no price is known: tokens only")
    return "; ".join(faults) or None
