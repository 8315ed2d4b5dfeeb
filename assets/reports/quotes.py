"""Were our quotes right? Every quote is kept with its interval, and judged when the traces of its batch are in."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.lake.kept_quotes import FOLDER
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import percent
from foretell.predictors.metrics import mean_estimate, wilson_interval
from foretell.predictors.model_names import ModelNames

ENOUGH = 0.95
"""Share of a batch that must have run before its quote is judged; the rest is scaled up."""
PILOT_DAYS = 30
"""How long before its quote a run still counts as one of the batch: its pilot."""
READ = ["query_id", "model", "reasoning_effort", "started_at", "output_tokens", "cost_usd"]
Quote: TypeAlias = dict[str, Any]
"""What `keep_quote` wrote."""


def quotes_report(traces: pd.DataFrame | Table, price_file: Path | None = None, home: Path | None = None) -> Report:
    """One row per kept quote, model and stage, with what the batch came to where it has run.

    A run of a quoted query on the quoted model counts from `PILOT_DAYS` before the quote on, the first after it before
    any other; the bill is what the traces say was paid.
    """
    kept = kept_quotes(home)
    if not kept:
        return Report(pd.DataFrame(), reasons=("No quote is kept yet: `foretell quote` keeps each with its interval.",))
    runs = traces if isinstance(traces, pd.DataFrame) else traces.collect(READ)
    runs = runs[READ].assign(query=short_id(runs["query_id"]))
    table = pd.DataFrame([row for quote in kept for row in _judged(quote, runs)])
    judged = table[table["actual"].notna()]
    reasons = [f"{len(table) - len(judged)} of {len(table)} quotes wait for the traces of their batch."]
    if judged.empty:
        return Report(table, reasons=tuple(reasons))
    by_stage = [_summary(str(stage), part) for stage, part in judged.groupby("stage")]
    findings = [
        f"{row['stage']}: {percent(row['coverage'])} of {row['quotes']} quotes held what the batch came to "
        f"[{percent(row['ci_lower'])}, {percent(row['ci_upper'])}], 90 % were to; bills were "
        f"{row['bias']:.2f} times the quoted median, intervals a factor of {row['width']:.1f} wide."
        for row in by_stage
    ]
    monthly = [
        {"month": month, **_summary(str(stage), part)}
        for (month, stage), part in judged.groupby([judged["made_at"].str[:7], "stage"])
    ]
    return Report(table, {"Quotes over time": pd.DataFrame(monthly)}, tuple(findings), tuple(reasons))


def kept_quotes(home: Path | None) -> list[Quote]:
    """All quotes of an installation, oldest first."""
    files = [] if home is None else (home / FOLDER).glob("*.json")
    return sorted((json.loads(file.read_text("utf-8")) for file in files), key=lambda quote: str(quote["made_at"]))


def short_id(query_ids: pd.Series) -> pd.Series:
    """The part of each `query_id` that a quote keeps."""
    return query_ids.astype(str).str[:16]


def quoted_runs(quote: Quote, runs: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Every total of a quote, and the runs of its batch among `runs` (`READ` and `query`), `is_early` where before it.

    No query has more runs there than it was quoted for.
    """
    wanted: Counter[str] = Counter(quote["queries"])
    made_at = pd.Timestamp(quote["made_at"])
    since = runs[(runs["started_at"] >= made_at - pd.Timedelta(days=PILOT_DAYS)) & runs["query"].isin(list(wanted))]
    names = ModelNames(since["model"].dropna().unique())
    for total in quote["totals"]:
        part = since[since["model"] == names.find(total["model"])]
        if total["reasoning_effort"] is not None:
            part = part[part["reasoning_effort"] == total["reasoning_effort"]]
        part = part.assign(is_early=part["started_at"] < made_at).sort_values(["is_early", "started_at"])
        allowed = np.array([wanted[query] for query in part["query"]], dtype=np.int64)
        yield total, part[part.groupby("query").cumcount().to_numpy(dtype=np.int64) < allowed]


def _judged(quote: Quote, runs: pd.DataFrame) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for total, part in quoted_runs(quote, runs):
        share = len(part) / len(quote["queries"])
        unit = "usd" if total["usd_median"] is not None else "tokens"
        ends = [np.nan if total[f"{unit}_{name}"] is None else total[f"{unit}_{name}"] for name in
                ("median", "lower_90", "upper_90")]  # fmt: skip
        whole = part["cost_usd" if unit == "usd" else "output_tokens"].astype("float64").sum(skipna=False)
        actual = float(whole) / share if share >= ENOUGH else np.nan
        rows.append(
            {
                "made_at": quote["made_at"], "file": quote["file"], "model": total["model"], "stage": total["stage"],
                "unit": unit, "n_requests": total["n_requests"], "median": ends[0], "lower_90": ends[1],
                "upper_90": ends[2], "share_run": share, "actual": actual,
                "is_inside": None if np.isnan(actual) else bool(ends[1] <= actual <= ends[2]),
            }
        )  # fmt: skip
    return rows


def _summary(stage: str, part: pd.DataFrame) -> dict[str, Any]:
    """Coverage with its interval over batches, bias and width of the judged quotes of one stage."""
    codes, files = pd.factorize(part["file"])
    inside = mean_estimate(part["is_inside"].to_numpy(dtype=np.float64), codes, len(files))
    lower, upper = wilson_interval(inside)
    with np.errstate(divide="ignore"):
        bias = np.exp(np.median(np.log(part["actual"] / part["median"])))
        width = np.exp(np.median(np.log(part["upper_90"] / part["lower_90"])))
    return {
        "stage": stage, "quotes": len(part), "coverage": inside.value, "ci_lower": lower, "ci_upper": upper,
        "bias": bias, "width": width,
    }  # fmt: skip


SPEC = ReportSpec(
    name="quotes",
    title="Quotes and what the batches came to",
    grain="One row per quote, model and stage.",
    make=quotes_report,
    plot="plot_quotes",
    reads_home=True,
    drawn=lambda quotes: quotes["median"] > 0,
)
