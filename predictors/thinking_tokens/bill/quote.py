"""A quote: what a batch of requests will take on each of several models, before it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...base import Cell
from ...errors import InvalidInputError
from ...model_names import ModelNames
from ..log_quantiles import LogQuantilePredictor
from ..prices.cost import estimated_input_tokens, request_rates
from ..shift.seen import KNOWN
from .doubt import doubt_line
from .pilot import PilotBill
from .totals import BatchForecast, forecast_batch, simulate_totals

NEVER_SEEN = "never seen in training: forecast by its relatives, as wide as models differ"
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
        One row per request and option: `request` (its index in the input), `option`, `known` and `basis`
        (`BasePredictor.known_of`, `basis_of`), `model`, `reasoning_effort`, `mean`, `median`, the ends of the 50 % and
        90 % intervals in output tokens, `reservation` (tokens to set aside), `max_tokens`, and each in dollars as
        ``cost_<name>_usd``, null where no price is known.
    totals : DataFrame
        One row per option, by `usd_at_confidence`: `option`, `known` and `basis` of its least known requests (null
        where the predictor does not tell), `model`, `reasoning_effort` and `max_tokens` where the option sets them,
        `n_requests`, `n_left_out`, mean, median and intervals of the total in ``tokens_*`` and ``usd_*``,
        `probability_cheapest` (that its total is the least of all options with a price), `probability_over_budget`,
        `reservation_tokens`, `reservation_usd` and, where every request has a limit, `worst_case_tokens` and
        `worst_case_usd`, `is_known_model`, `price_version`, `input_usd_per_mtok`, `output_usd_per_mtok`, `problem`.
    left_out : DataFrame
        Requests that are not in the totals: `request`, `reason`.
    cheapest : str or None
        The option (the model, where only models differ) that is the cheapest with the wanted confidence; None where no
        option is, so that they cannot be told apart, or none has a price.
    caveats : tuple of str
        What must be read before any number: what the least sure option rests on, what it is unsure of most and what
        would tell more (`doubt.doubt_line`); then models that were never seen, and what was learnt from.
    pilot : PilotBill or None
        The bill from the runs of a pilot, where `foretell.quote` was given one.
    """

    requests: pd.DataFrame
    totals: pd.DataFrame
    left_out: pd.DataFrame
    cheapest: str | None
    caveats: tuple[str, ...] = ()
    pilot: PilotBill | None = None


@dataclass(frozen=True)
class QuoteTerms:
    """What is asked of a quote.

    Attributes
    ----------
    models : sequence of str
        Names in any spelling (`model_names`); a model that was not learnt from is forecast by its relatives.
    reasoning_efforts, max_tokens : sequences
        What if: every model is quoted with each effort and each limit in place of the requests' own.
    budget_usd : float or None
        Asks for the probability that the total exceeds it.
    confidence : float
        Probability from which on an option is called the cheapest, and with which a total stays under
        `usd_at_confidence`, in (0, 1).
    reservation_level : float
        Quantile of each request's tokens that is set aside, in (0, 1); gateways set aside `max_tokens`.
    service_tier : str or None
        Tier to price at, such as ``batch`` or ``flex``; None: the requests' own `service_tier`.
    cached_share : float
        Share of the input tokens that a prompt cache serves, in [0, 1].
    """

    models: Sequence[str]
    reasoning_efforts: Sequence[str] = ()
    max_tokens: Sequence[float] = ()
    budget_usd: float | None = None
    confidence: float = 0.9
    reservation_level: float = 0.95
    service_tier: str | None = None
    cached_share: float = 0.0


def quote(
    predictor: LogQuantilePredictor,
    requests: pd.DataFrame,
    terms: QuoteTerms,
    *,
    price_file: Path | None = None,
    n_draws: int = 1000,
    random_state: int | None = 0,
) -> Quote:
    """Forecast tokens and dollars of `requests` on each model of `terms`.

    Parameters
    ----------
    predictor : LogQuantilePredictor
        Fitted.
    requests : DataFrame of shape (n_requests, n_columns)
        Columns of `Requests` without `model`; a request without `prompt_text` is left out.
    terms : QuoteTerms
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
    options = _options(terms)
    _check_shares(terms)
    left_out = _left_out(requests)
    kept = requests[~requests.index.isin(left_out["request"])]
    if kept.empty:
        raise InvalidInputError(
            f"no request is left to quote: {len(requests)} given, all without text; give it as `prompt_text`, `prompt` "
            f"or `messages` (columns here: {', '.join(map(str, requests.columns[:8]))})"
        )
    names = _names(options)
    sent = [option.applied(kept).assign(option=name) for option, name in zip(options, names, strict=True)]
    stacked = pd.concat(sent, ignore_index=True)
    if terms.service_tier is not None:
        stacked["service_tier"] = terms.service_tier
    batch = forecast_batch(predictor, stacked, levels=sorted({*QUANTILES, terms.reservation_level}))
    inputs = estimated_input_tokens(stacked)
    rates = request_rates(stacked.assign(input_tokens=inputs), price_file=price_file)
    per_input = (1 - terms.cached_share) * rates["input"] + terms.cached_share * rates["cache_read"]
    fixed = (rates["request"] + per_input * inputs).to_numpy(dtype=np.float64)
    per_token = rates["output"].to_numpy(dtype=np.float64)
    rows = _per_request(stacked, batch, terms.reservation_level, fixed, per_token)
    seen = ModelNames(predictor.known_models)
    configs = predictor.seen_cells
    described = predictor.described(stacked)
    totals, draws = [], []
    for place, (option, name) in enumerate(zip(options, names, strict=True)):
        at = np.arange(place * len(kept), (place + 1) * len(kept))
        tokens, usd = simulate_totals(
            batch.take(at), usd_fixed=fixed[at], usd_per_token=per_token[at], n_draws=n_draws, random_state=random_state
        )
        of_option = rates.iloc[at]
        draws.append(usd)
        totals.append(
            {
                "option": name,
                **_least_known(described.iloc[at]),
                "model": option.model,
                "reasoning_effort": option.reasoning_effort,
                "max_tokens": np.nan if option.max_tokens is None else float(option.max_tokens),
                "n_requests": len(at),
                "n_left_out": len(left_out),
                **_summary("tokens", tokens),
                **_summary("usd", usd),
                "usd_at_confidence": float(np.quantile(usd, terms.confidence)),
                "probability_over_budget": _over(usd, terms.budget_usd),
                **_reservations(rows.iloc[at]),
                "is_known_model": seen.find(option.model) is not None,
                "price_version": next(iter(of_option["price_version"].dropna()), None),
                "input_usd_per_mtok": 1e6 * float(of_option["input"].median()),
                "output_usd_per_mtok": 1e6 * float(of_option["output"].median()),
                "problem": _problem(stacked.iloc[at], seen.find(option.model), configs, usd),
            }
        )
    table = pd.DataFrame(totals)
    table["probability_cheapest"] = shares_cheapest(draws)
    table = table.sort_values("usd_at_confidence", kind="stable", na_position="last", ignore_index=True)
    surely = table["option"][table["probability_cheapest"] >= terms.confidence]
    cheapest = str(surely.iloc[0]) if len(surely) else None
    of_request = ["request", "option"]
    rows = pd.concat([rows[of_request], described, rows.drop(columns=of_request)], axis=1)
    caveats = (*_doubt(table, names, batch, len(kept)), *_caveats(table, predictor))
    return Quote(rows, table, left_out, cheapest, caveats)


def shares_cheapest(draws: Sequence[np.ndarray]) -> np.ndarray:
    """Share of simulated batches in which each option takes the fewest dollars, shape (n_options,).

    `draws` are totals of every option, shape (n_draws,) each, those of one place drawn together; options of equal
    totals share the draw. An option without a price (NaN) has NaN; the others sum to 1.
    """
    usd = np.vstack(draws)
    priced = ~np.isnan(usd).any(axis=1)
    is_least = usd == np.min(usd, axis=0, where=priced[:, None], initial=np.inf)
    return np.where(priced, (is_least / np.maximum(is_least.sum(axis=0), 1)).mean(axis=1), np.nan)


def _least_known(described: pd.DataFrame) -> dict[str, str | None]:
    """`known` and `basis` of the request of which least was seen; null where the predictor cannot say."""
    if described["known"].isna().all():
        return {"known": None, "basis": None}
    row = described.iloc[int(described["known"].map(KNOWN.index).to_numpy().argmax())]
    return {"known": str(row["known"]), "basis": str(row["basis"])}


def _doubt(totals: pd.DataFrame, names: Sequence[str], batch: BatchForecast, n: int) -> tuple[str, ...]:
    """What the least sure option rests on; nothing where the predictor does not tell."""
    if totals["basis"].isna().all():
        return ()
    place = int(np.argmax([np.median(batch.shared_deviation[i * n : (i + 1) * n]) for i in range(len(names))]))
    basis = str(totals.loc[totals["option"] == names[place], "basis"].iloc[0])
    return (doubt_line(names[place], basis, batch.take(np.arange(place * n, (place + 1) * n))),)


def _caveats(totals: pd.DataFrame, predictor: LogQuantilePredictor) -> tuple[str, ...]:
    """The models that were never seen and what stands in for them, then what else is wrong with an option."""
    lines = []
    unseen = totals.loc[~totals["is_known_model"].astype(bool), "model"].drop_duplicates().tolist()
    if unseen:
        learnt = sorted(predictor.known_models)
        models = learnt[0] if len(learnt) == 1 else f"{len(learnt)} models"
        lines.append(
            f"Never seen in training: {', '.join(unseen)}. {'It is' if len(unseen) == 1 else 'They are'} forecast by "
            f"relatives, from what {models} {'shows' if len(learnt) == 1 else 'have in common'}."
        )
        names = ModelNames(learnt)
        likely = {name: names.suggest(str(name)) for name in unseen}
        lines += [f"{name}: did you mean {' or '.join(found)}?" for name, found in likely.items() if found]
    for row in totals[totals["problem"].notna()].itertuples():
        others = [fault for fault in str(row.problem).split("; ") if fault != NEVER_SEEN]
        lines += [f"{row.option}: {'; '.join(others)}."] if others else []
    return tuple(lines)


def _options(terms: QuoteTerms) -> list[Option]:
    models, limits = list(terms.models), list(terms.max_tokens)
    if not models or len(set(models)) != len(models):
        raise InvalidInputError(f"`models` must name at least one model and none twice, got {models}")
    if not all(limit > 0 for limit in limits):
        raise InvalidInputError(f"`max_tokens` must be positive, got {limits}")
    efforts: list[str | None] = [*dict.fromkeys(terms.reasoning_efforts)] or [None]
    caps: list[float | None] = [*dict.fromkeys(limits)] or [None]
    return [Option(model, effort, cap) for model in models for effort in efforts for cap in caps]


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


def _check_shares(terms: QuoteTerms) -> None:
    for name, value in (("confidence", terms.confidence), ("reservation_level", terms.reservation_level)):
        if not 0 < value < 1:
            raise InvalidInputError(f"`{name}` must be in (0, 1), got {value}")
    if not 0 <= terms.cached_share <= 1:
        raise InvalidInputError(f"`cached_share` must be in [0, 1], got {terms.cached_share}")


def _left_out(requests: pd.DataFrame) -> pd.DataFrame:
    if not requests.index.is_unique:
        raise InvalidInputError("`requests` must have a unique index: it names the requests in the quote")
    text = requests["prompt_text"] if "prompt_text" in requests else pd.Series(None, index=requests.index, dtype=object)
    empty = text.isna() | (text.astype(str).str.strip() == "")
    return pd.DataFrame({"request": requests.index[empty], "reason": "no text"})


def _per_request(
    X: pd.DataFrame, batch: BatchForecast, reservation_level: float, fixed: np.ndarray, per_token: np.ndarray
) -> pd.DataFrame:
    tokens = batch.quantiles[list(QUANTILES)].rename(columns=QUANTILES)
    tokens.columns.name = None
    tokens.insert(0, "mean", batch.expected)
    tokens["reservation"] = batch.quantiles[reservation_level]
    tokens["max_tokens"] = np.where(np.isinf(batch.max_tokens), np.nan, batch.max_tokens)
    # What a request costs rises with its tokens and nothing else about it is uncertain.
    dollars = pd.DataFrame(
        fixed[:, None] + per_token[:, None] * tokens.to_numpy(dtype=np.float64),
        index=tokens.index,
        columns=[f"cost_{name}_usd" for name in tokens.columns],
    )
    efforts = X["reasoning_effort"] if "reasoning_effort" in X else pd.Series(None, index=X.index, dtype=object)
    rows = X[["request", "option", "model"]].assign(reasoning_effort=efforts)
    return pd.concat([rows, tokens, dollars], axis=1)


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


def _problem(sent: pd.DataFrame, model: str | None, configs: frozenset[Cell], usd: np.ndarray) -> str | None:
    """What is wrong with the forecast of an option; `model` is the name that it was seen under."""
    faults = []
    if model is None:
        faults.append(NEVER_SEEN)
    elif "reasoning_effort" in sent:
        efforts = sorted({str(effort) for effort in sent["reasoning_effort"].dropna()})
        unseen = [effort for effort in efforts if (model, effort) not in configs]
        if unseen:
            faults.append(
                f"never seen with effort {', '.join(unseen)}: forecast by its other efforts and its relatives"
            )
    if np.isnan(usd).any():
        faults.append("no price is known: tokens only")
    return "; ".join(faults) or None
