"""`foretell quote`: the bill of a batch before it is sent, on each of several models."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipelines.console import out, print_json, print_table, say
from pipelines.predict import load_champion
from pipelines.settings import Settings
from predictors.errors import DatasetError


def run_quote(
    settings: Settings,
    file: Path,
    models: Sequence[str],
    *,
    budget: float | None,
    confidence: float,
    per_request: bool,
    as_json: bool,
) -> None:
    """Print what the requests of `file` will take on each model, cheapest first."""
    from assets.requests import read_requests
    from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
    from predictors.thinking_tokens.quote import quote

    requests, problems = read_requests(file)
    predictor = load_champion(settings, "thinking_tokens")
    if not isinstance(predictor, ThinkingTokensPredictor):
        raise DatasetError(f"the champion is a {type(predictor).__name__}, which cannot quote a batch")
    quoted = quote(
        predictor,
        requests.drop(columns="model", errors="ignore"),
        models,
        budget_usd=budget,
        confidence=confidence,
        price_file=settings.price_file,
    )
    problems += [f"{file}: request {row.request}: {row.reason}" for row in quoted.left_out.itertuples()]
    for problem in problems:
        say(problem)
    if as_json:
        print_json(quoted.requests if per_request else quoted.totals)
        return
    _print_totals(quoted.totals, n_left_out=len(problems), budget=budget)
    if quoted.cheapest is not None:
        out.print(f"cheapest with probability {confidence:.0%} of staying under its total: {quoted.cheapest}")


def _print_totals(totals: pd.DataFrame, *, n_left_out: int, budget: float | None) -> None:
    rows = [
        (
            row["model"],
            _interval(row, "tokens", "{:,.0f}"),
            _interval(row, "usd", "${:,.4f}"),
            _number(row["usd_mean"], "${:,.4f}"),
            _number(row["probability_over_budget"], "{:.0%}") if budget is not None else "-",
            _number(row["reservation_usd"], "${:,.4f}"),
            _number(row.get("worst_case_usd"), "${:,.4f}"),
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
        out.print(f"{row['model']}: {row['problem']}", markup=False)


def _interval(row: Mapping[Hashable, object], unit: str, form: str) -> str:
    ends = [_number(row[f"{unit}_{name}"], form) for name in ("median", "lower_90", "upper_90")]
    return "-" if ends[0] == "-" else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def _number(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, float | int) and pd.notna(value) else "-"
