"""What share of tokens and of the bill is thinking, by model and benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from assets.engine import Table
from assets.reports.report import Report, ReportSpec, build_report_asset
from assets.reports.run_sums import in_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SPEC", "thinking_share_report", "thinking_share_report_asset"]


def thinking_share_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and model: shares of sums, with 95 % intervals over queries.

    The share of the bill needs prices and input tokens; the share of the output needs neither.
    """
    from predictors.thinking_tokens.cost import request_rates

    traces = in_memory(traces)
    rates = request_rates(traces, price_file=price_file)
    runs = traces.assign(
        benchmark=traces["benchmark"].fillna("(none)"),
        thinking=traces["reasoning_tokens"].astype("float64"),
        output=traces["output_tokens"].astype("float64"),
        thinking_usd=rates["output"].to_numpy() * traces["reasoning_tokens"].astype("float64").to_numpy(),
        total_usd=rates["input"].to_numpy() * traces["input_tokens"].astype("float64").to_numpy()
        + rates["output"].to_numpy() * traces["output_tokens"].astype("float64").to_numpy(),
    )
    rows: list[dict[str, object]] = []
    silent: set[str] = set()
    for (benchmark, model), part in runs.groupby(["benchmark", "model"], sort=True):
        known = part[part["thinking"].notna()]
        if known.empty or known["output"].sum() == 0:
            silent.add(str(model))
            continue
        share, lower, upper = _share(known, "thinking", "output")
        row: dict[str, object] = {
            "benchmark": benchmark, "model": model, "share_of_output": share,
            "output_lower": lower, "output_upper": upper,
            "share_of_bill": float("nan"), "bill_lower": float("nan"), "bill_upper": float("nan"),
            "mean_thinking_tokens": known["thinking"].mean(), "unknown_share": float(part["thinking"].isna().mean()),
            "n_queries": known["query_id"].nunique(),
        }  # fmt: skip
        priced = known[known["total_usd"].notna()]
        if len(priced) and priced["total_usd"].sum() > 0:
            row |= dict(
                zip(
                    ("share_of_bill", "bill_lower", "bill_upper"),
                    _share(priced, "thinking_usd", "total_usd"),
                    strict=True,
                )
            )
        rows.append(row)
    table = pd.DataFrame(rows)
    findings: list[str] = []
    reasons = [f"Reasoning tokens are not reported, at least in part: {', '.join(sorted(silent))}."] if silent else []
    if rows:
        if table["share_of_bill"].isna().all():
            reasons.append("No share of the bill: prices or input tokens are not known.")
        means = table.groupby("model")["share_of_output"].mean().sort_values()
        findings = [
            f"{means.iloc[0]:.0%} of the output of {means.index[0]} is thinking."
            if len(means) == 1
            else f"Most of the output is thinking with {means.index[-1]} ({means.iloc[-1]:.0%}), least with "
            f"{means.index[0]} ({means.iloc[0]:.1%})."
        ]
        off = means[means < 0.02].index.tolist()
        if off:
            findings.append(f"Thinking is switched off, or nearly, in {', '.join(off)}: no reasoning models here.")
    return Report(table, {}, tuple(findings), tuple(reasons))


def _share(runs: pd.DataFrame, part: str, whole: str) -> tuple[float, float, float]:
    """Ratio of sums with its 95 % interval over queries."""
    from predictors.metrics import ratio_estimate

    codes, queries = pd.factorize(runs["query_id"])
    found = ratio_estimate(runs[part].to_numpy(float), runs[whole].to_numpy(float), codes, len(queries))
    return (found.value, *found.interval())


def _draw(report: Report) -> "Figure":
    from predictors.report_plots import plot_thinking_share

    figure = plot_thinking_share(report.table).get_figure(root=True)
    assert figure is not None
    return figure


SPEC = ReportSpec(
    "thinking_share",
    "Thinking as a share of output and bill",
    "One row per benchmark and model: share of the output tokens and of the bill that is thinking, with intervals.",
    thinking_share_report,
    _draw,
)
thinking_share_report_asset = build_report_asset(SPEC)
