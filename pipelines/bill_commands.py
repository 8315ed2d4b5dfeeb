"""Commands about bills: `foretell quote`, `report` and `route`. Parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.settings import Settings

__all__ = ["quote", "report", "route"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per row and nothing else.")]
REPORTS = "price-reversals, cost-of-pass, frontier, thinking-share, token-noise or routing"


def quote(
    file: Annotated[Path, typer.Argument(help="Requests: chat JSONL, batch input, csv, parquet, or an Inspect log.")],
    model: Annotated[list[str], typer.Option(help="A model to quote; give it several times to compare.")],
    reasoning_effort: Annotated[
        list[str] | None, typer.Option(help="What if: this effort instead of the requests' own; several times.")
    ] = None,
    max_tokens: Annotated[
        list[int] | None, typer.Option(help="What if: this limit instead of the requests' own; several times.")
    ] = None,
    budget: Annotated[float | None, typer.Option(help="USD: how probable is it that the total exceeds it?")] = None,
    confidence: Annotated[float, typer.Option(help="With which probability the cheapest is to keep its total.")] = 0.9,
    tier: Annotated[str | None, typer.Option(help="Service tier to price at, such as batch or flex.")] = None,
    cached: Annotated[float, typer.Option(help="Share of the input tokens that a prompt cache serves.")] = 0.0,
    requests: Annotated[bool, typer.Option(help="With --json: a row per request instead of totals.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a page to forward, .html.")] = None,
    json: Json = False,
) -> None:
    """The bill of a batch before it is sent: tokens and dollars with intervals, on each model."""
    from pipelines.quote import Terms, run_quote

    terms = Terms(
        models=model,
        reasoning_efforts=reasoning_effort or [],
        max_tokens=max_tokens or [],
        budget=budget,
        confidence=confidence,
        service_tier=tier,
        cached_share=cached,
    )
    run_quote(Settings(), file, terms, per_request=requests, html=out, as_json=json)


def report(
    name: Annotated[str, typer.Argument(help=REPORTS)],
    dataset: Annotated[str, typer.Option(help="lake (your own traces), starter, or a public set by name.")] = "lake",
    out: Annotated[Path | None, typer.Option(help="Write it: .html (a page), .csv, .parquet or .jsonl.")] = None,
    json: Json = False,
) -> None:
    """What traces say about prices, passes, frontiers, thinking, noise, and routing."""
    from pipelines.reports import run_report

    run_report(Settings(), name, dataset, file=out, as_json=json)


def route(
    file: Annotated[Path | None, typer.Argument(help="Requests to assign; without it, how well routing does.")] = None,
    dataset: Annotated[str, typer.Option(help="Scored traces to learn from: lake or a public set by name.")] = "lake",
    budget: Annotated[float | None, typer.Option(help="USD that all requests together may cost.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model to choose from; several times.")] = None,
    json: Json = False,
) -> None:
    """Which model for which request under a budget, from forecasts of success and of cost."""
    from pipelines.routing import run_route

    run_route(Settings(), dataset, file=file, budget=budget, models=model or [], as_json=json)
