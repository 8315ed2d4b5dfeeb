"""The second line of a quote: the bill by design, from the runs of a pilot."""

import json
from pathlib import Path

import pandas as pd

from foretell.assets.pages import Section
from foretell.pipelines.cli.console import interval, money, percent
from foretell.pipelines.pilots.plan import scores_of
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics.estimates.survey import DECIDED
from foretell.predictors.thinking_tokens.bill.pilot import PilotBill, bill_from_pilot
from foretell.predictors.thinking_tokens.bill.quote import Quote, QuoteTerms


def bill_after(quoted: Quote, terms: QuoteTerms, drawn: pd.DataFrame, check: str | None, file: Path | str) -> PilotBill:
    """The bill from the runs that `read_pilot` read; `check` as in `scores_of`, `file` holds the requests.

    Raises `InvalidInputError` if the pilot is of another batch or of none of the quoted models, or nothing can be
    checked.
    """
    runs = drawn[drawn["model"].isin(terms.models)]
    if runs.empty:
        there = ", ".join(drawn["model"].unique())
        raise InvalidInputError(f"`runs` hold no run of {', '.join(terms.models)}; the pilot is of {there}")
    n_units, n_quoted = int(runs["n_units"].iloc[0]), int(quoted.totals["n_requests"].iloc[0])
    if n_units != n_quoted:
        raise InvalidInputError(f"`runs` are the pilot of {n_units:,} requests, {file} holds {n_quoted:,}")
    if check is not None:
        runs = runs.assign(score=scores_of(runs, check, Path(file)))
    return bill_from_pilot(runs, budget_usd=terms.budget_usd)


def with_pilot(totals: pd.DataFrame, bill: PilotBill) -> pd.DataFrame:
    """The rows of the quote, `stage` forecast, and those of the pilot below, `stage` pilot.

    `cheaper_than` is JSON: with what probability the model is cheaper than each other one, from paired runs.
    """
    cheaper: dict[str, dict[str, float]] = {model: {} for model in bill.totals["model"]}
    for pair in bill.order.to_dict("records"):
        cheaper[pair["first"]][pair["second"]] = pair["probability_first_cheaper"]
        cheaper[pair["second"]][pair["first"]] = 1 - pair["probability_first_cheaper"]
    after = bill.totals.assign(stage="pilot", option=bill.totals["model"], n_requests=bill.totals["n_units"])
    after["cheaper_than"] = [json.dumps(cheaper[model]) for model in after["model"]]
    table = pd.concat([totals.assign(stage="forecast"), after], ignore_index=True)
    return table[["stage", *(name for name in table if name != "stage")]]


def sentences(quoted: Quote, bill: PilotBill) -> list[str]:
    """What the pilot changed, a line per model, pair of models and open question."""
    before = quoted.totals.set_index("model")
    lines = []
    for row in bill.totals.to_dict("records"):
        name, unit = row["model"], "usd" if row["usd_median"] == row["usd_median"] else "tokens"
        old = before.loc[[name]].iloc[0].to_dict()
        word = "" if unit == "usd" else " tokens"
        lines.append(f"{name}, before: {interval(old, unit)}{word}, a forecast: {old['basis'] or 'no runs'}.")
        lines.append(
            f"{name}, after: {interval(row, unit)}{word}, by design from {row['n_answered']} of "
            f"{row['n_units']:,} requests; the forecast counts with a slope of {row['slope']:.2g}. "
            f"± {percent(row['half_width'])}; {row['next_n']} draws would give about "
            f"± {percent(row['next_half_width'])}, {row['n_for_10_percent']:,} about ± 10 %."
        )
        if row["n_answered"] < row["n_drawn"]:
            lines.append(
                f"{name}: {row['n_drawn'] - row['n_answered']} draws have no answer; the rest stands for them."
            )
        if row["tail_decides"]:
            lines.append(
                f"{name}: a single request carries most of the uncertainty, so rare long answers decide this bill; "
                f"max_tokens of {row['tail_max_tokens']:,.0f}, or a pilot of {row['tail_n']:,}, would settle it."
            )
        if row["probability_over_budget"] == row["probability_over_budget"]:
            lines.append(
                f"{name}: it exceeds the budget with a probability of {percent(row['probability_over_budget'], 1)}."
            )
        if row["pass_rate"] == row["pass_rate"]:
            reach = f" [{money(row['usd_per_pass_lower_90'])}, {money(row['usd_per_pass_upper_90'])}]"
            cost = money(row["usd_per_pass"]) + reach if row["pass_rate"] > 0 else "not to be had: none passed"
            lines.append(f"{name}: {percent(row['pass_rate'])} pass; a pass costs {cost}.")
    return lines + [_pair(pair) for pair in bill.order.to_dict("records")]


def _pair(row: dict) -> str:
    chance = row["probability_first_cheaper"]
    first, second = (row["first"], row["second"]) if chance >= 0.5 else (row["second"], row["first"])
    surely = max(chance, 1 - chance)
    if surely >= DECIDED:
        probability = percent(min(surely, 0.999), 1)
        return f"{first} is cheaper than {second} with a probability of {probability}, on the same requests."
    more = f"about {row['n_to_decide']:,} pairs would decide it" if row["n_to_decide"] > 0 else "all requests would not"
    return f"{first} or {second} is open ({percent(surely)} for {first}): {more}."


def after_section(bill: PilotBill) -> Section:
    """What the pilot says of each model."""
    shown = pd.DataFrame([
        {
            "model": row["model"], "dollars: 90 %": interval(row, "usd"), "tokens: 90 %": interval(row, "tokens"),
            "answers": f"{row['n_answered']} of {row['n_drawn']}", "at the cap": str(row["n_capped"]),
        }
        for row in bill.totals.to_dict("records")
    ])  # fmt: skip
    return Section("After the pilot", table=shown)
