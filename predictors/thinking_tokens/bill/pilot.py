"""The bill of a batch from its pilot: an interval by design, whatever the forecast was worth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import InsufficientReplicatesError
from ...metrics.estimates.survey import (
    MIN_DRAWS,
    SurveyEstimate,
    estimate_total,
    expected_half_width,
    log_ratio,
    planned_draws,
    spread_of,
)

NEXT = (5, 10, 20, 50)
TAIL_SHARE = 0.5
"""A draw that carries more of the variance than this says that the tail decides."""
SETTLED = 0.25
"""Half-width over the total that is wanted of a cap, or of a larger pilot, where the tail decides."""


@dataclass(frozen=True)
class PilotBill:
    """What a pilot says.

    Attributes
    ----------
    totals : DataFrame
        One row per model: `model`, `n_answered`, `n_drawn`, `n_units`, median, mean and the ends of the 50 and 90 %
        intervals of the total in ``tokens_*`` and ``usd_*`` (null without a price), `slope` (0: the forecast was worth
        nothing), `half_width` of the 90 % interval over the total, `next_n` and `next_half_width` (twice the draws),
        `n_for_10_percent` (draws for a half-width of a tenth, to be fixed before they are sent),
        `probability_over_budget`, `n_capped`, `tail_decides`, `tail_max_tokens` and `tail_n` (the cap, or the number
        of draws, that would settle it), `pass_rate`, `usd_per_pass` with its ends.
    order : DataFrame
        One row per pair of models that answered the same requests: `first`, `second`, `probability_first_cheaper`,
        `ratio` of the first's total to the second's with `ratio_lower_90` and `ratio_upper_90`, and `n_to_decide`, the
        pairs with which a ratio as large as this one would be decided (0: not even all requests would).
    """

    totals: pd.DataFrame
    order: pd.DataFrame


def bill_from_pilot(runs: pd.DataFrame, *, budget_usd: float | None = None) -> PilotBill:
    """The bill from the runs of a pilot.

    Parameters
    ----------
    runs : DataFrame
        One row per drawn request and model: `request`, `model`, `probability`, `n_units`, `usd`, `output_tokens` (null
        where no answer came), `max_tokens`, `forecast_*` and `forecast_total_*` in ``tokens`` and ``usd``; where
        answers were checked, `score` in [0, 1].
    budget_usd : float, optional

    Raises
    ------
    InsufficientReplicatesError
        If a model answered fewer than `MIN_DRAWS` requests.
    """
    rows, answered = [], {}
    for model, drawn in runs.groupby("model", sort=False):
        part = drawn[drawn["output_tokens"].notna()]
        if len(part) < min(MIN_DRAWS, int(part["n_units"].max() or MIN_DRAWS)):
            raise InsufficientReplicatesError(f"{model}: a bill needs {MIN_DRAWS} answers at least, got {len(part)}")
        answered[str(model)] = part.assign(probability=part["probability"] * len(part) / len(drawn))
        rows.append(_bill_of(str(model), answered[str(model)], len(drawn), budget_usd))
    return PilotBill(pd.DataFrame(rows), _order(answered))


def _estimate(part: pd.DataFrame, column: str, unit: str) -> SurveyEstimate:
    """Total of a column, with the forecast in `unit` beside it."""
    return estimate_total(
        part[column].to_numpy(dtype=np.float64),
        part["probability"],
        int(part["n_units"].iloc[0]),
        forecast=part[f"forecast_{unit}"].to_numpy(dtype=np.float64),
        forecast_total=float(part[f"forecast_total_{unit}"].iloc[0]),
    )


def _bill_of(model: str, part: pd.DataFrame, n_drawn: int, budget_usd: float | None) -> dict[str, object]:
    n, n_units = len(part), int(part["n_units"].iloc[0])
    priced = bool(part["usd"].notna().all() and part["forecast_usd"].notna().all())
    tokens = _estimate(part, "output_tokens", "tokens")
    usd = _estimate(part, "usd", "usd") if priced else None
    bill = tokens if usd is None else usd
    spread = spread_of(bill, n, n_units)
    lower, upper = bill.interval()
    more = min(2 * n, n_units)
    return {
        "model": model, "n_answered": n, "n_drawn": n_drawn, "n_units": n_units,
        **_summary("tokens", tokens), **_summary("usd", usd),
        "slope": bill.slope, "half_width": (upper - lower) / 2 / bill.total, "next_n": more,
        "next_half_width": expected_half_width(spread, more, n_units),
        "n_for_10_percent": planned_draws(spread, 0.1, n_units),
        "probability_over_budget": (
            float("nan") if usd is None or budget_usd is None else usd.probability_above(budget_usd)
        ),
        **_tail(part, tokens, spread), **_passes(part, usd),
    }  # fmt: skip


def _summary(unit: str, estimate: SurveyEstimate | None) -> dict[str, float]:
    names = {"lower_90": 0.05, "lower_50": 0.25, "upper_50": 0.75, "upper_90": 0.95}
    if estimate is None:
        return {f"{unit}_{name}": float("nan") for name in ("median", "mean", *names)}
    ends = {f"{unit}_{name}": estimate.quantile(level) for name, level in names.items()}
    return {f"{unit}_median": estimate.total, f"{unit}_mean": estimate.total, **ends}


def _tail(part: pd.DataFrame, tokens: SurveyEstimate, spread: float) -> dict[str, object]:
    """Whether runs that no draw met decide, and what would settle it.

    `n` draws without a runaway leave room for a share of 1 - .05^(1/n) of them; the cap is the one at which even so
    many would add no more than `SETTLED` of the bill.
    """
    n, n_units = len(part), int(part["n_units"].iloc[0])
    capped = (part["finish_reason"] == "length") if "finish_reason" in part else pd.Series(False, index=part.index)
    unseen = (1 - 0.05 ** (1 / n)) * (n_units - n)
    cap = tokens.total / n_units + SETTLED * tokens.total / unseen if unseen > 0 else float("nan")
    return {
        "n_capped": int(capped.sum()), "tail_decides": tokens.largest_share > TAIL_SHARE,
        "tail_max_tokens": float(np.ceil(cap)), "tail_n": planned_draws(spread, SETTLED, n_units),
    }  # fmt: skip


def _passes(part: pd.DataFrame, usd: SurveyEstimate | None) -> dict[str, float]:
    """Pass rate and dollars per pass, from the same draws; infinite where nothing passed."""
    rate = per_pass = lower = upper = float("nan")
    if "score" in part and part["score"].notna().all():
        n_units = int(part["n_units"].iloc[0])
        passes = estimate_total(part["score"].to_numpy(dtype=np.float64), part["probability"], n_units)
        rate = passes.total / n_units
        if usd is not None and usd.total > 0 and passes.total > 0:
            ratio = log_ratio(usd, passes)
            per_pass, (lower, upper) = float(np.exp(ratio.value)), ratio.interval()
        elif usd is not None:
            per_pass = float("inf")
    return {
        "pass_rate": rate, "usd_per_pass": per_pass, "usd_per_pass_lower_90": lower, "usd_per_pass_upper_90": upper
    }  # fmt: skip


def _order(answered: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every pair of models on the requests that both answered."""
    rows, names = [], list(answered)
    for first, second in [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]:
        both = set(answered[first]["request"]) & set(answered[second]["request"])
        one, other = (_shared(answered[name], both) for name in (first, second))
        if len(both) < MIN_DRAWS or one["usd"].isna().any() or other["usd"].isna().any():
            continue
        totals = [_estimate(part, "usd", "usd") for part in (one, other)]
        if min(total.total for total in totals) <= 0:
            continue
        ratio = log_ratio(*totals)
        lower, upper = ratio.interval()
        value = (first, second, ratio.probability_first_less, float(np.exp(ratio.value)), lower, upper)
        rows.append((*value, ratio.draws_to_decide(len(both), int(one["n_units"].iloc[0]))))
    columns = ["first", "second", "probability_first_cheaper", "ratio", "ratio_lower_90", "ratio_upper_90"]
    columns += ["n_to_decide"]
    return pd.DataFrame(rows, columns=columns)


def _shared(part: pd.DataFrame, requests: set[object]) -> pd.DataFrame:
    """The runs of `requests`, which stand for those of all others too."""
    shared = part[part["request"].isin(requests)].sort_values("request")
    return shared.assign(probability=shared["probability"] * len(shared) / len(part))
