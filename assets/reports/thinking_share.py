"""What share of tokens and of the bill is thinking, by model and benchmark."""

from pathlib import Path

import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.reports.runs import draw_queries, listed, pooled
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import percent
from foretell.predictors.metrics import ClusterSums
from foretell.predictors.thinking_tokens.prices.cost import request_rates

READ = [
    "benchmark", "model", "provider", "service_tier", "started_at", "input_tokens", "output_tokens",
    "reasoning_tokens",
]  # fmt: skip


def thinking_share_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and model: shares of sums, with 95 % intervals over queries.

    The share of the bill needs prices and input tokens; the share of the output needs neither.
    """
    drawn = draw_queries(traces, READ)
    reasons = drawn.reasons()
    runs = pooled(_priced(drawn.rows, price_file), ["benchmark", "model"], reasons)
    rows, silent = [], set()
    for (benchmark, model), part in runs.groupby(["benchmark", "model"]):
        if part["output"].sum() == 0:
            silent.add(str(model))
        else:
            rows.append({"benchmark": benchmark, "model": model, **_shares(part)})
    table = pd.DataFrame(rows)
    findings: list[str] = []
    if silent:
        reasons.append(f"Reasoning tokens are not reported, at least in part: {listed(sorted(silent))}.")
    if rows:
        if table["share_of_bill"].isna().all():
            reasons.append("No share of the bill: prices or input tokens are not known.")
        means = table.groupby("model")["share_of_output"].mean().sort_values()
        findings = [
            f"{percent(means.iloc[0])} of the output of {means.index[0]} is thinking."
            if len(means) == 1
            else f"Most of the output is thinking with {means.index[-1]} ({percent(means.iloc[-1])}), least with "
            f"{means.index[0]} ({percent(means.iloc[0], 1)})."
        ]
        off = means[means < 0.02].index.tolist()
        if off:
            findings.append(f"Thinking is switched off, or nearly, in {listed(off)}: no reasoning models here.")
    return Report(table, {}, tuple(findings), tuple(reasons))


def _priced(traces: pd.DataFrame, price_file: Path | None) -> pd.DataFrame:
    """Tokens and dollars of each run, 0 where its thinking (for dollars: its price or input too) is not known."""
    rates = request_rates(traces, price_file=price_file)
    inputs, output, thinking = (
        traces[name].astype("float64") for name in ("input_tokens", "output_tokens", "reasoning_tokens")
    )
    is_known = thinking.notna()
    total = rates["input"] * inputs + rates["output"] * output
    is_priced = is_known & total.notna()
    return traces.assign(
        benchmark=traces["benchmark"].fillna("(none)").astype("str"), is_known=is_known,
        thinking=thinking.fillna(0.0), output=output.where(is_known, 0.0),
        thinking_usd=(rates["output"] * thinking).where(is_priced, 0.0), total_usd=total.where(is_priced, 0.0),
    )  # fmt: skip


def _shares(runs: pd.DataFrame) -> dict[str, object]:
    """Shares of sums with 95 % intervals over queries; NaN of a bill that is not known."""
    sums = runs.groupby("query_id")[["thinking", "output", "thinking_usd", "total_usd", "is_known"]].sum()
    output, bill = (
        ClusterSums.of({name: sums[name].to_numpy() for name in names}).ratio(*names)
        for names in (("thinking", "output"), ("thinking_usd", "total_usd"))
    )
    (output_lower, output_upper), (bill_lower, bill_upper) = output.interval(), bill.interval()
    return {
        "share_of_output": output.value, "output_lower": output_lower, "output_upper": output_upper,
        "share_of_bill": bill.value, "bill_lower": bill_lower, "bill_upper": bill_upper,
        "mean_thinking_tokens": float(sums["thinking"].sum()) / int(sums["is_known"].sum()),
        "unknown_share": 1 - float(runs["is_known"].mean()), "n_queries": int((sums["is_known"] > 0).sum()),
    }  # fmt: skip


SPEC = ReportSpec(
    "thinking_share",
    "Thinking as a share of output and bill",
    "One row per benchmark and model: share of the output tokens and of the bill that is thinking, with intervals.",
    thinking_share_report,
    "plot_thinking_share",
)
