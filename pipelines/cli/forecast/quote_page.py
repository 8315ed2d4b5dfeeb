"""The page of a quote that one forwards to a colleague: totals, budget, reservation, requests, assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.pages import Head, Section, page
from foretell.pipelines.cli.console import counted, money, percent
from foretell.pipelines.cli.forecast.quote import chance, dollars, interval, verdict
from foretell.predictors.thinking_tokens.bill.quote import Quote, QuoteTerms
from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_REQUESTS = 100
MAX_TEXT = 60
MAX_DRAWN = 40


def quote_page(
    quoted: Quote,
    requests: pd.DataFrame,
    terms: QuoteTerms,
    problems: Sequence[str],
    predictor: LogQuantilePredictor,
    file: Path,
    after: Section | None = None,
) -> str:
    """The whole page.

    Parameters
    ----------
    quoted : Quote
    requests : DataFrame
        What was quoted, index as in ``quoted.requests["request"]``; the start of each text is shown.
    terms : QuoteTerms
    problems : sequence of str
        A line per request that is left out.
    predictor : LogQuantilePredictor
        What the quote was made with.
    file : Path
        Where the requests are from.
    after : Section, optional
        What a pilot says, above the totals.
    """
    totals, n = quoted.totals, int(quoted.totals["n_requests"].iloc[0])
    is_best = totals["option"] == quoted.cheapest
    best = int(is_best.argmax()) if is_best.any() and len(is_best) > 1 else None
    models = ", ".join(dict.fromkeys(totals["model"]))
    head = Head(
        f"Quote for {counted(n, 'request')} of {file.name}",
        f"Asked {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, before anything was sent: what they take on {models}. "
        f"Left out of every total: {len(problems):,} of the requests.",
        quoted.caveats,
        [f"{'Before the pilot: ' if after else ''}{verdict(quoted, terms)}"],
    )
    more = [f"and {len(problems) - MAX_REQUESTS:,} more"] if len(problems) > MAX_REQUESTS else []
    sections = [
        Section(f"Totals{', as forecast' if after else ''}", table=_totals(totals, terms), best=best),
        Section("Each way to send it", figure=_chart(totals, terms)),
        _reservation(totals),
        _per_request(quoted, requests),
        Section("Requests that are left out", [*problems[:MAX_REQUESTS], *more]),
    ]
    return page(head, [*([after] if after else []), *sections], _assumptions(quoted, requests, terms, predictor))


def _totals(totals: pd.DataFrame, terms: QuoteTerms) -> pd.DataFrame:
    rows = []
    for row in totals.to_dict("records"):
        shown = {
            "model": row["option"],
            "tokens: median [90 %]": interval(row, "tokens"),
            "dollars: median [90 %]": interval(row, "usd"),
            "[50 %]": interval(row, "usd", 50).partition(" ")[2] or "-",
            "expected": dollars(row["usd_mean"]),
        }
        if totals["usd_median"].notna().sum() > 1:
            shown["is cheapest"] = chance(row["probability_cheapest"])
        if terms.budget_usd is not None:
            shown[f"over {money(terms.budget_usd)}"] = chance(row["probability_over_budget"])
        shown["set aside"] = dollars(row["reservation_usd"])
        shown["worst case"] = dollars(row["worst_case_usd"])
        rows.append(shown)
    return pd.DataFrame(rows)


def _chart(totals: pd.DataFrame, terms: QuoteTerms) -> Figure | None:
    """Medians with 50 and 90 % intervals on a logarithmic axis; None where there is nothing to compare or no price."""
    from importlib.util import find_spec

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
    figure: Figure = plot_intervals(table, unit=words, line=budget, is_log=True).figure  # type: ignore[assignment]
    return figure


def _reservation(totals: pd.DataFrame) -> Section:
    title = "How much to set aside"
    bounded = totals[totals["worst_case_tokens"].notna()]
    if bounded.empty:
        return Section(title, [
            "Not every request has a limit (max_tokens), so a gateway cannot reserve for the worst case; the column "
            "“set aside” is the sum of the 95 % quantiles of the requests."
        ])  # fmt: skip
    return Section(title, [
        "Gateways reserve the limit of every request. The 95 % quantile of each is enough for 19 in 20 of them.",
        *(f"{row['option']}: {row['reservation_tokens']:,.0f} tokens instead of {row['worst_case_tokens']:,.0f}, "
          f"{percent(row['reservation_tokens'] / row['worst_case_tokens'], 1)} of them."
          for row in bounded.to_dict("records")),
    ])  # fmt: skip


def _per_request(quoted: Quote, requests: pd.DataFrame) -> Section:
    option = quoted.totals["option"].iloc[0]
    rows = quoted.requests[quoted.requests["option"] == option]
    shown = rows.sort_values("mean", ascending=False).head(MAX_REQUESTS)
    texts = requests["prompt_text"].reindex(shown["request"]).astype(str)
    priced = shown["cost_mean_usd"].notna().any()
    columns = {
        "request": shown["request"].astype(str).tolist(),
        "text": [_start(text) for text in texts],
        "tokens: median [90 %]": [
            f"{row.median:,.0f} [{row.lower_90:,.0f}, {row.upper_90:,.0f}]" for row in shown.itertuples()
        ],
        "expected tokens": [f"{value:,.0f}" for value in shown["mean"]],
        "set aside": [f"{value:,.0f}" for value in shown["reservation"]],
    }
    if priced:
        columns["expected cost"] = [money(value) for value in shown["cost_mean_usd"]]
        columns["95 % of the time below"] = [money(value) for value in shown["cost_upper_90_usd"]]
    more = (
        f"the {len(shown)} longest of {len(rows):,}" if len(rows) > len(shown) else f"all {len(rows):,}, longest first"
    )
    return Section(f"Requests on {option}: {more}", table=pd.DataFrame(columns), n_keys=2)


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
        _learnt_from(predictor),
        *_noise(predictor),
        "Totals are simulated: each request from its own heavy-tailed distribution, with one error that all requests "
        "of a model, benchmark and effort share.",
    ]
    if "input_tokens" not in requests or requests["input_tokens"].isna().any():
        lines.append("Input tokens that are not given are estimated as a quarter of the characters.")
    if "context_models" in requests:
        lines.append("The runs of the log are known to the forecast: it is about these very queries on another model.")
    return lines


def _learnt_from(predictor: LogQuantilePredictor) -> str:
    runs, models = counted(predictor.n_samples_, "run"), sorted(predictor.known_models)
    if isinstance(predictor, ThinkingTokensPredictor) and predictor.unseen_ is not None:
        runs += f" with their texts and {predictor.unseen_.seen_.n_public:,} of public figures"
    more = f" and {len(models) - 8} more" if len(models) > 8 else ""
    return f"Learnt from {runs}, of {counted(len(models), 'model')}: {', '.join(models[:8])}{more}."


def _noise(predictor: LogQuantilePredictor) -> list[str]:
    """How much runs of one request vary; a baseline does not know."""
    if not isinstance(predictor, ThinkingTokensPredictor):
        return []
    return [
        "Even the very same request on the same model varies: 90 % of its runs lie within a factor of about "
        f"{predictor.noise_factor:.2f} of the typical one. No forecast can be surer of a single request."
    ]
