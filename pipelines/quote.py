"""`foretell quote`: the bill of a batch before it is sent, on each of several models."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.console import out, print_json, print_table, say
from pipelines.predict import load_champion
from pipelines.settings import Settings
from predictors.errors import DatasetError, InvalidInputError

__all__ = ["Terms", "run_quote"]

MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Terms:
    """What is asked of a quote: models, what-ifs, budget, prices.

    Attributes
    ----------
    models, reasoning_efforts, max_tokens : sequences
        Every model is quoted with each effort and each limit; of none, with the requests' own.
    budget : float or None
        USD.
    confidence : float
        Probability with which the cheapest option keeps its total.
    service_tier : str or None
        Price of that tier, such as ``batch``.
    cached_share : float
        Share of the input tokens that a prompt cache serves.
    """

    models: Sequence[str]
    reasoning_efforts: Sequence[str] = ()
    max_tokens: Sequence[float] = ()
    budget: float | None = None
    confidence: float = 0.9
    service_tier: str | None = None
    cached_share: float = 0.0


def run_quote(
    settings: Settings, file: Path, terms: Terms, *, per_request: bool, html: Path | None = None, as_json: bool
) -> None:
    """Print what the requests of `file` will take on each model, cheapest first; with `html`, write a page too.

    Raises
    ------
    InvalidInputError
        If the file holds no request, or the terms make no sense.
    DatasetError
        If there is no champion that can quote.
    """
    from assets.requests import read_requests
    from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
    from predictors.thinking_tokens.quote import quote

    if html is not None and html.suffix != ".html":
        raise InvalidInputError(f"`--out` must end in .html, got {html}")
    requests, problems = read_requests(file)
    predictor = load_champion(settings, "thinking_tokens")
    if not isinstance(predictor, ThinkingTokensPredictor):
        raise DatasetError(f"the champion is a {type(predictor).__name__}, which cannot quote a batch")
    quoted = quote(
        predictor,
        requests.drop(columns="model", errors="ignore"),
        terms.models,
        reasoning_efforts=terms.reasoning_efforts,
        max_tokens=terms.max_tokens,
        budget_usd=terms.budget,
        confidence=terms.confidence,
        service_tier=terms.service_tier,
        cached_share=terms.cached_share,
        price_file=settings.price_file,
    )
    problems += [f"{file}: request {row.request}: {row.reason}" for row in quoted.left_out.itertuples()]
    quoted.totals["n_left_out"] = len(problems)
    for problem in problems[:MAX_PROBLEMS]:
        say(problem)
    if len(problems) > MAX_PROBLEMS:
        say(f"{file}: {len(problems) - MAX_PROBLEMS} more like these; every total leaves out {len(problems)} requests")
    if html is not None:
        from pipelines.quote_page import quote_page

        html.write_text(quote_page(quoted, requests, terms, problems, predictor, file), "utf-8")
        say(f"written to {html}")
    if as_json:
        print_json(quoted.requests if per_request else quoted.totals)
        return
    _print_totals(quoted.totals, n_left_out=len(problems), budget=terms.budget)
    if quoted.cheapest is not None:
        out.print(
            f"cheapest with probability {terms.confidence:.0%} of staying under its total: {quoted.cheapest}",
            markup=False,
        )


def _print_totals(totals: pd.DataFrame, *, n_left_out: int, budget: float | None) -> None:
    rows = [
        (
            row["option"],
            interval(row, "tokens", "{:,.0f}"),
            interval(row, "usd", "${:,.4f}"),
            number(row["usd_mean"], "${:,.4f}"),
            number(row["probability_over_budget"], "{:.0%}") if budget is not None else "-",
            number(row["reservation_usd"], "${:,.4f}"),
            number(row.get("worst_case_usd"), "${:,.4f}"),
        )
        for row in totals.to_dict("records")
    ]
    columns = (
        "model",
        "tokens: median, 90 %",
        "dollars: median, 90 %",
        "expected",
        "over budget",
        "set aside",
        "worst",
    )
    n_requests = int(totals["n_requests"].iloc[0])
    print_table(f"{n_requests} requests, {n_left_out} left out", columns, rows, no_wrap=True)
    for row in totals[totals["problem"].notna()].to_dict("records"):
        out.print(f"{row['option']}: {row['problem']}", markup=False)


def interval(row: Mapping[Hashable, object], unit: str, form: str, coverage: int = 90) -> str:
    """Median and interval of a total as text; a dash where it is not known."""
    ends = [number(row[f"{unit}_{name}"], form) for name in ("median", f"lower_{coverage}", f"upper_{coverage}")]
    return "-" if ends[0] == "-" else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def number(value: object, form: str) -> str:
    """A number as text; a dash where it is not known."""
    return form.format(value) if isinstance(value, float | int) and pd.notna(value) else "-"
