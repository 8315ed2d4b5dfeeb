"""The page of a quote that one forwards to a colleague: totals, budget, reservation, requests, assumptions."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.pages import page, table_html
from pipelines.quote import Terms, interval, number
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from predictors.thinking_tokens.quote import Quote

__all__ = ["quote_page"]

MAX_REQUESTS = 100
MAX_TEXT = 60
COLOURS = ("#1f4e79", "#9db9d6")
Row = Mapping[Hashable, object]


def quote_page(
    quoted: Quote,
    requests: pd.DataFrame,
    terms: Terms,
    problems: Sequence[str],
    predictor: ThinkingTokensPredictor,
    file: Path,
) -> str:
    """The whole page.

    Parameters
    ----------
    quoted : Quote
    requests : DataFrame
        What was quoted, index as in ``quoted.requests["request"]``; the start of each text is shown.
    terms : Terms
    problems : sequence of str
        A line per request that is left out.
    predictor : ThinkingTokensPredictor
        What the quote was made with.
    file : Path
        Where the requests are from.
    """
    n = int(quoted.totals["n_requests"].iloc[0])
    title = f"Quote for {n:,} requests of {file.name}"
    parts = [
        f'<p class="lead">{_verdict(quoted, terms)}</p>',
        f'<p class="muted">Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, before anything was sent. '
        f"Left out of every total: {len(problems):,} of the requests.</p>",
        "<h2>Totals</h2>",
        table_html(_totals(quoted.totals, terms), best=0 if quoted.cheapest is not None else None),
        _chart(quoted.totals, terms),
        _reservation(quoted.totals),
        _per_request(quoted, requests),
        _problems(quoted.totals, problems),
        _assumptions(quoted, requests, terms, predictor),
    ]
    return page(title, "".join(parts))


def _verdict(quoted: Quote, terms: Terms) -> str:
    if quoted.cheapest is None:
        return "No price is known for any of these models: the quote is in tokens only."
    best = quoted.totals.iloc[0]
    text = (
        f"<b>{html.escape(quoted.cheapest)}</b> is the cheapest: about ${best['usd_median']:,.2f}, and with a "
        f"probability of {terms.confidence:.0%} no more than ${best['usd_at_confidence']:,.2f}."
    )
    if terms.budget is not None and pd.notna(best["probability_over_budget"]):
        chance = best["probability_over_budget"]
        told = "less than 1 in 1,000" if chance < 0.001 else f"{chance:.1%}"
        text += f" The chance that it exceeds the budget of ${terms.budget:,.2f} is {told}."
    return text


def _totals(totals: pd.DataFrame, terms: Terms) -> pd.DataFrame:
    rows = []
    for row in totals.to_dict("records"):
        shown = {
            "model": row["option"],
            "tokens: median [90 %]": interval(row, "tokens", "{:,.0f}"),
            "dollars: median [90 %]": interval(row, "usd", "${:,.2f}"),
            "[50 %]": interval(row, "usd", "${:,.2f}", 50).partition(" ")[2] or "-",
            "expected": number(row["usd_mean"], "${:,.2f}"),
        }
        if terms.budget is not None:
            shown[f"over ${terms.budget:,.2f}"] = number(row["probability_over_budget"], "{:.1%}")
        shown["set aside"] = number(row["reservation_usd"], "${:,.2f}")
        shown["worst case"] = number(row["worst_case_usd"], "${:,.2f}")
        rows.append(shown)
    return pd.DataFrame(rows)


def _chart(totals: pd.DataFrame, terms: Terms) -> str:
    """Medians with 50 and 90 % intervals on a logarithmic axis, as SVG."""
    unit = "usd" if totals["usd_median"].notna().any() else "tokens"
    rows = [row for row in totals.to_dict("records") if pd.notna(row[f"{unit}_median"])]
    ends = [_value(row, f"{unit}_{side}_90") for row in rows for side in ("lower", "upper")]
    if terms.budget is not None and unit == "usd" and terms.budget > 0:
        ends.append(terms.budget)
    low, high = np.log10(max(min(ends), 1e-9)) - 0.05, np.log10(max(max(ends), 1e-9)) + 0.05
    left, width, step = 260, 720, 26
    height = step * len(rows) + 44

    def x(value: float) -> float:
        return float(left + (np.log10(max(value, 1e-9)) - low) / max(high - low, 1e-9) * (width - 20))

    parts = []
    for tick in _ticks(low, high):
        text = f"${tick:,.2f}" if unit == "usd" and tick < 100 else f"${tick:,.0f}" if unit == "usd" else f"{tick:,.0f}"
        at = f"{x(tick):.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="6" y2="{height - 30}" stroke="#e3e8ee"/>')
        parts.append(f'<text x="{at}" y="{height - 12}" text-anchor="middle" font-size="11" fill="#666">{text}</text>')
    for place, row in enumerate(rows):
        y = 20 + place * step
        name = html.escape(str(row["option"])[:38])
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end" font-size="12">{name}</text>')
        for coverage, thick, colour in ((90, 6, COLOURS[1]), (50, 12, COLOURS[0])):
            start, end = (x(_value(row, f"{unit}_{side}_{coverage}")) for side in ("lower", "upper"))
            parts.append(
                f'<rect x="{start:.1f}" y="{y - thick / 2}" width="{max(end - start, 1):.1f}" height="{thick}" '
                f'fill="{colour}" rx="2"/>'
            )
        parts.append(f'<circle cx="{x(_value(row, f"{unit}_median")):.1f}" cy="{y}" r="3" fill="white"/>')
    if terms.budget is not None and unit == "usd" and terms.budget > 0:
        at = f"{x(terms.budget):.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="2" y2="{height - 30}" stroke="#c0504d" stroke-dasharray="4 3"/>')
    told = "Total in dollars" if unit == "usd" else "Total in output tokens"
    told += ": median, 50 % interval (dark) and 90 % interval (light)" + (
        "; dashed: the budget." if terms.budget is not None and unit == "usd" else "."
    )
    svg = f'<svg viewBox="0 0 {left + width} {height}" role="img" aria-label="{told}">{"".join(parts)}</svg>'
    return f'<figure>{svg}<figcaption class="muted">{told}</figcaption></figure>'


def _ticks(low: float, high: float) -> list[float]:
    found = [m * 10.0**e for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for m in (1, 2, 5)]
    inside = [tick for tick in found if low <= np.log10(tick) <= high]
    return inside if len(inside) <= 10 else [tick for tick in inside if f"{tick:e}"[0] == "1"]


def _value(row: Row, name: str) -> float:
    return float(row[name])  # type: ignore[arg-type]


def _reservation(totals: pd.DataFrame) -> str:
    lines = []
    for row in totals.to_dict("records"):
        aside, worst = row["reservation_tokens"], row["worst_case_tokens"]
        if pd.notna(worst):
            name = html.escape(str(row["option"]))
            lines.append(f"{name}: {aside:,.0f} tokens instead of {worst:,.0f}, {aside / worst:.1%} of them.")
    if not lines:
        return (
            "<h2>How much to set aside</h2><p>Not every request has a limit (max_tokens), so a gateway cannot reserve "
            "for the worst case; the column “set aside” is the sum of the 95 % quantiles of the requests.</p>"
        )
    listed = "".join(f"<li>{line}</li>" for line in lines)
    return (
        "<h2>How much to set aside</h2><p>Gateways reserve the limit of every request. The 95 % quantile of each "
        f"request is enough for 19 in 20 of them:</p><ul>{listed}</ul>"
    )


def _per_request(quoted: Quote, requests: pd.DataFrame) -> str:
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
        columns["expected cost"] = [f"${value:,.5f}" for value in shown["cost_mean_usd"]]
        columns["95 % of the time below"] = [f"${value:,.5f}" for value in shown["cost_upper_90_usd"]]
    more = (
        f"the {len(shown)} longest of {len(rows):,}" if len(rows) > len(shown) else f"all {len(rows):,}, longest first"
    )
    return f"<h2>Requests on {html.escape(str(option))}: {more}</h2>{table_html(pd.DataFrame(columns))}"


def _start(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 1] + "…"


def _problems(totals: pd.DataFrame, problems: Sequence[str]) -> str:
    of_models = [f"{row['option']}: {row['problem']}" for row in totals.to_dict("records") if pd.notna(row["problem"])]
    lines = [*of_models, *problems]
    if not lines:
        return ""
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines[:MAX_REQUESTS])
    more = f"<li>and {len(lines) - MAX_REQUESTS:,} more</li>" if len(lines) > MAX_REQUESTS else ""
    return f"<h2>Problems</h2><ul>{listed}{more}</ul>"


def _assumptions(quoted: Quote, requests: pd.DataFrame, terms: Terms, predictor: ThinkingTokensPredictor) -> str:
    prices = [
        f"{row['model']}: ${row['input_usd_per_mtok']:,.4g} per million input tokens, "
        f"${row['output_usd_per_mtok']:,.4g} per million output tokens (thinking included), "
        f"from {row['price_version']}."
        for row in quoted.totals.drop_duplicates("model").to_dict("records")
        if pd.notna(row["output_usd_per_mtok"])
    ]
    noise = predictor.noise_factor
    lines = [
        *prices,
        f"Service tier: {terms.service_tier or 'as the requests say, or standard'}; {terms.cached_share:.0%} of the "
        "input served from a prompt cache.",
        f"Learnt from {predictor.n_samples_:,} runs of {len(predictor.known_models)} models: "
        f"{_some(sorted(predictor.known_models))}.",
        "Even the very same request on the same model varies: 90 % of its runs lie within a factor of about "
        f"{noise:.2f} of the typical one. No forecast can be surer of a single request.",
        "Totals are simulated: each request from its own heavy-tailed distribution, with one error that all requests "
        "of a model, benchmark and effort share.",
    ]
    if "input_tokens" not in requests or requests["input_tokens"].isna().any():
        lines.append("Input tokens that are not given are estimated as a quarter of the characters.")
    if "context_models" in requests:
        lines.append("The runs of the log are known to the forecast: it is about these very queries on another model.")
    return "<h2>Assumptions</h2><ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
