"""What a quote says, on the screen and on the page that one forwards to a colleague."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import chance, counted, dollars, interval, money, percent, spans
from foretell.pipelines.cli.forecast.quote_pilot import after_section, sentences
from foretell.predictors.thinking_tokens.bill.pilot import PilotBill
from foretell.predictors.thinking_tokens.bill.quote import Quote, QuoteTerms
from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_REQUESTS = 100
MAX_TEXT = 60
MAX_DRAWN = 40
MAX_NAMED = 5
SET_ASIDE = (
    "set aside: what a gateway holds that reserves the 95 % quantile of every request; the total needs less, since "
    "not all requests run long at once"
)


def quote_page(
    quoted: Quote,
    requests: pd.DataFrame,
    terms: QuoteTerms,
    problems: Sequence[str],
    predictor: LogQuantilePredictor,
    file: Path,
    after: PilotBill | None = None,
) -> Page:
    """What is not known, which model is cheapest and what each takes; on paper also each request and the assumptions.

    `requests` has the index of ``quoted.requests["request"]``, `problems` a line per request that is left out, `after`
    is the bill from a pilot.
    """
    totals = quoted.totals
    is_best = totals["option"] == quoted.cheapest
    best = int(is_best.argmax()) if is_best.any() and len(is_best) > 1 else None
    n, models = counted(int(totals["n_requests"].iloc[0]), "request"), ", ".join(dict.fromkeys(totals["model"]))
    more = [f"and {len(problems) - MAX_REQUESTS:,} more"] if len(problems) > MAX_REQUESTS else []
    answer = [verdict(quoted, terms)]
    if after is not None:
        answer = [f"Before the pilot: {answer[0]}", *sentences(quoted, after)]
    is_beyond = terms.budget_usd is not None and (totals["reservation_usd"] > terms.budget_usd).any()
    sections = [
        Section(f"{n}, {len(problems):,} left out", table=totals_table(totals, terms), best=best),
        Section("Each way to send it", figure=partial(_chart, totals, terms)),
        _reservation(totals),
        _per_request(quoted, requests),
        Section("Requests that are left out", [*problems[:MAX_REQUESTS], *more], page_only=True),
    ]
    return Page(
        f"Quote for {n} of {file.name}",
        [*([after_section(after)] if after else []), *sections],
        f"Asked {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, before anything was sent: what they take on {models}. "
        f"Left out of every total: {len(problems):,} of the requests.",
        quoted.caveats,
        answer,
        [SET_ASIDE] if is_beyond else [],
        _assumptions(quoted, requests, terms, predictor),
    )


def totals_table(totals: pd.DataFrame, terms: QuoteTerms) -> pd.DataFrame:
    """The totals of every option as text, the most important column first."""
    rows = []
    for row in totals.to_dict("records"):
        shown = {"model": row["option"], "dollars: median [90 %]": interval(row, "usd")}
        if totals["usd_median"].notna().sum() > 1:
            shown["is cheapest"] = chance(row["probability_cheapest"])
        if terms.budget_usd is not None:
            shown[f"over {money(terms.budget_usd)}"] = chance(row["probability_over_budget"])
        shown["expected"] = dollars(row["usd_mean"])
        if "chance_of_success" in row:
            shown |= {"right": chance(row["chance_of_success"]), "per right": dollars(row["usd_per_right_answer"])}
        shown["tokens: median [90 %]"] = interval(row, "tokens")
        shown |= {"set aside": dollars(row["reservation_usd"]), "worst case": dollars(row["worst_case_usd"])}
        rows.append({**shown, "[50 %]": interval(row, "usd", 50).partition(" ")[2] or "-"})
    return pd.DataFrame(rows)


def verdict(quoted: Quote, terms: QuoteTerms) -> str:
    """What the quote comes to: which option is the cheapest and how surely, and what it takes.

    Options that cannot be told apart at the wanted confidence are named with their probabilities instead.
    """
    priced = quoted.totals[quoted.totals["usd_median"].notna()]
    if priced.empty:
        return "No price is known for any of these models: the quote is in tokens only."
    order = priced.sort_values("probability_cheapest", ascending=False, kind="stable")
    best = order.iloc[0]
    if quoted.cheapest is None:
        chances = [f"{_named(row)} {_in_words(row['probability_cheapest'])}" for row in order.to_dict("records")]
        rest = f" and {len(chances) - MAX_NAMED} more" if len(chances) > MAX_NAMED else ""
        return (
            f"No option is the cheapest with a probability of {percent(terms.confidence)}; the probabilities are: "
            f"{', '.join(chances[:MAX_NAMED])}{rest}."
        )
    sure = f" is the cheapest with a probability of {_in_words(best['probability_cheapest'])}" if len(order) > 1 else ""
    text = (
        f"{_named(best)}{sure}: about {money(best['usd_median'])}, and with a probability of "
        f"{percent(terms.confidence)} no more than {money(best['usd_at_confidence'])}."
    )
    if terms.budget_usd is not None and best["probability_over_budget"] == best["probability_over_budget"]:
        over = _in_words(best["probability_over_budget"])
        text += f" The chance that it exceeds the budget of {money(terms.budget_usd)} is {over}."
    return text


def _named(row: Mapping[Hashable, object] | pd.Series) -> str:
    return f"{row['option']}{'' if row['is_known_model'] else ' (never seen in training)'}"


def _in_words(probability: object) -> str:
    return chance(probability).replace("<", "less than").replace(">", "more than")


def _chart(totals: pd.DataFrame, terms: QuoteTerms) -> "Axes | None":
    """Medians with 50 and 90 % intervals on a logarithmic axis; None where there is nothing to compare or no price."""
    unit = "usd" if totals["usd_median"].notna().any() else "tokens"
    rows = totals[totals[f"{unit}_median"].gt(0)].head(MAX_DRAWN)
    if rows.empty or find_spec("matplotlib") is None:  # the table says it all
        return None
    from foretell.predictors.plots.forecasts import plot_intervals

    names = ("median", "lower_50", "upper_50", "lower_90", "upper_90")
    table = rows.rename(columns={f"{unit}_{name}": name for name in names}).assign(
        label=rows["option"].str.slice(0, 38)
    )
    words = "Total in dollars" if unit == "usd" else "Total in output tokens"
    budget = terms.budget_usd if unit == "usd" else None
    return plot_intervals(table, unit=words, line=budget, is_log=True)


def _reservation(totals: pd.DataFrame) -> Section:
    title = "How much to set aside"
    bounded = totals[totals["worst_case_tokens"].notna()]
    if bounded.empty:
        return Section(title, [
            "Not every request has a limit (max_tokens), so a gateway cannot reserve for the worst case; the column "
            "“set aside” is the sum of the 95 % quantiles of the requests."
        ], page_only=True)  # fmt: skip
    return Section(title, [
        "Gateways reserve the limit of every request. The 95 % quantile of each is enough for 19 in 20 of them.",
        *(f"{row['option']}: {row['reservation_tokens']:,.0f} tokens instead of {row['worst_case_tokens']:,.0f}, "
          f"{percent(row['reservation_tokens'] / row['worst_case_tokens'], 1)} of them."
          if row["reservation_tokens"] < 0.9995 * row["worst_case_tokens"]
          else f"{row['option']}: no less than the limits, {row['worst_case_tokens']:,.0f} tokens."
          for row in bounded.to_dict("records")),
    ], page_only=True)  # fmt: skip


def _per_request(quoted: Quote, requests: pd.DataFrame) -> Section:
    option = quoted.totals["option"].iloc[0]
    rows = quoted.requests[quoted.requests["option"] == option]
    shown = rows.sort_values("mean", ascending=False).head(MAX_REQUESTS)
    texts = requests["prompt_text"].reindex(shown["request"]).astype(str)
    priced = shown["cost_mean_usd"].notna().any()
    columns = {
        "request": shown["request"].astype(str).tolist(),
        "text": [_start(text) for text in texts],
        "tokens: median [90 %]": spans(shown[["median", "lower_90", "upper_90"]], "{:,.0f}".format),
        "expected tokens": [f"{value:,.0f}" for value in shown["mean"]],
        "set aside": [f"{value:,.0f}" for value in shown["reservation"]],
    }
    if priced:
        columns["expected cost"] = [money(value) for value in shown["cost_mean_usd"]]
        columns["95 % of the time below"] = [money(value) for value in shown["cost_upper_90_usd"]]
    more = (
        f"the {len(shown)} longest of {len(rows):,}" if len(rows) > len(shown) else f"all {len(rows):,}, longest first"
    )
    return Section(f"Requests on {option}: {more}", table=pd.DataFrame(columns), n_keys=2, page_only=True)


def _start(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 1] + "…"


def _assumptions(
    quoted: Quote, requests: pd.DataFrame, terms: QuoteTerms, predictor: LogQuantilePredictor
) -> list[str]:
    prices = [
        f"{row['model']}: ${row['input_usd_per_mtok']:,.4g} per million input tokens, "
        f"${row['output_usd_per_mtok']:,.4g} per million output tokens (thinking included), "
        f"from {row['price_version']}."
        for row in quoted.totals.drop_duplicates("model").to_dict("records")
        if pd.notna(row["output_usd_per_mtok"])
    ]
    lines = [
        *prices,
        f"Service tier: {terms.service_tier or 'as the requests say, or standard'}; {percent(terms.cached_share)} of "
        "the input served from a prompt cache.",
        *_learnt_from(predictor),
        "Totals are simulated: each request from its own heavy-tailed distribution, with one error that all requests "
        "of a model, benchmark and effort share.",
    ]
    if "input_tokens" not in requests or requests["input_tokens"].isna().any():
        lines.append("Input tokens that are not given are estimated as a quarter of the characters.")
    if "context_models" in requests:
        lines.append("The runs of the log are known to the forecast: it is about these very queries on another model.")
    return lines


def _learnt_from(predictor: LogQuantilePredictor) -> list[str]:
    """What was learnt from, and how much runs of one request vary, which a baseline does not know."""
    runs, models = counted(predictor.n_samples_, "run"), sorted(predictor.known_models)
    more = f" and {len(models) - 8} more" if len(models) > 8 else ""
    of_models = f"of {counted(len(models), 'model')}: {', '.join(models[:8])}{more}."
    if not isinstance(predictor, ThinkingTokensPredictor):
        return [f"Learnt from {runs}, {of_models}"]
    return [
        f"Learnt from {runs} with their texts and {predictor.unseen_.seen_.n_public:,} of public figures, {of_models}",
        "Even the very same request on the same model varies: 90 % of its runs lie within a factor of about "
        f"{predictor.noise_factor:.2f} of the typical one. No forecast can be surer of a single request.",
    ]
