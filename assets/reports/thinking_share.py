"""What share of tokens and of the bill is thinking, by model and benchmark."""

from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.lake.traces.across_days import query_bundles
from foretell.assets.reports.runs import TracePart, merge_groups, trace_parts
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import percent

if TYPE_CHECKING:
    from foretell.predictors.metrics import ClusterSums

QUERY = ["benchmark", "model", "query_id"]
READ = [*QUERY, "provider", "service_tier", "started_at", "input_tokens", "output_tokens", "reasoning_tokens"]
TOKENS = ("thinking", "output")
DOLLARS = ("thinking_usd", "total_usd")


@dataclass(frozen=True)
class _Thinking:
    """Sums over the queries of a benchmark and model, of some parts or of all.

    `runs` counts all runs, `known` and `n_queries` those that report their thinking and the queries that they are of.
    """

    runs: int
    known: int
    n_queries: int
    tokens: "ClusterSums"
    dollars: "ClusterSums"

    def merge(self, other: "_Thinking") -> "_Thinking":
        """Sums of both, which must share no query."""
        return _Thinking(
            self.runs + other.runs,
            self.known + other.known,
            self.n_queries + other.n_queries,
            self.tokens.merge(other.tokens),
            self.dollars.merge(other.dollars),
        )

    def row(self) -> dict[str, object]:
        """Shares of sums with 95 % intervals over queries; NaN of a bill that is not known."""
        output, bill = self.tokens.ratio(*TOKENS), self.dollars.ratio(*DOLLARS)
        (output_lower, output_upper), (bill_lower, bill_upper) = output.interval(), bill.interval()
        return {
            "share_of_output": output.value, "output_lower": output_lower, "output_upper": output_upper,
            "share_of_bill": bill.value, "bill_lower": bill_lower, "bill_upper": bill_upper,
            "mean_thinking_tokens": float(self.tokens.sums[("thinking",)]) / self.known,
            "unknown_share": (self.runs - self.known) / self.runs, "n_queries": self.n_queries,
        }  # fmt: skip


def thinking_share_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and model: shares of sums, with 95 % intervals over queries.

    The share of the bill needs prices and input tokens; the share of the output needs neither. Runs are added up by
    query where they lie, queries where the parts of each come together; only sums by benchmark and model come here.
    """
    engine, parts = trace_parts(traces)
    bundles = engine.group(partial(_by_query, price_file=price_file), parts, "bundle", _by_group)
    groups: dict[tuple[str, str], _Thinking] = reduce(merge_groups, bundles, {})
    rows: list[dict[str, object]] = []
    silent: set[str] = set()
    for (benchmark, model), found in sorted(groups.items()):
        if found.tokens.sums[("output",)] == 0:
            silent.add(model)
        else:
            rows.append({"benchmark": benchmark, "model": model, **found.row()})
    table = pd.DataFrame(rows)
    findings: list[str] = []
    reasons = [f"Reasoning tokens are not reported, at least in part: {', '.join(sorted(silent))}."] if silent else []
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
            findings.append(f"Thinking is switched off, or nearly, in {', '.join(off)}: no reasoning models here.")
    return Report(table, {}, tuple(findings), tuple(reasons))


def _by_query(part: TracePart, price_file: Path | None) -> pd.DataFrame:
    """Sums over the runs of each query of a part."""
    from foretell.predictors.thinking_tokens.prices.cost import request_rates

    traces = part.read(READ)
    rates = request_rates(traces, price_file=price_file)
    inputs, outputs, thinking = (
        traces[name].astype("float64") for name in ("input_tokens", "output_tokens", "reasoning_tokens")
    )
    known = thinking.notna()
    total = rates["input"] * inputs + rates["output"] * outputs
    priced = known & total.notna()
    runs = pd.DataFrame(
        {
            "benchmark": traces["benchmark"].fillna("(none)").astype("str"),
            "model": traces["model"], "query_id": traces["query_id"],
            "runs": 1, "known": known.astype("int64"),
            "thinking": thinking.fillna(0.0), "output": outputs.where(known, 0.0),
            "thinking_usd": (rates["output"] * thinking).where(priced, 0.0), "total_usd": total.where(priced, 0.0),
        }
    )  # fmt: skip
    sums = runs.groupby(QUERY, sort=False).sum().reset_index()
    return sums.assign(bundle=query_bundles(sums["query_id"]))


def _by_group(sums: pd.DataFrame) -> dict[tuple[str, str], _Thinking]:
    """Sums over the queries of each benchmark and model; all parts of a query are here."""
    from foretell.predictors.metrics import ClusterSums

    queries = sums.drop(columns="bundle").groupby(QUERY).sum().reset_index()
    return {
        (str(benchmark), str(model)): _Thinking(
            int(part["runs"].sum()),
            int(part["known"].sum()),
            int((part["known"] > 0).sum()),
            ClusterSums.of({name: part[name].to_numpy() for name in TOKENS}),
            ClusterSums.of({name: part[name].to_numpy() for name in DOLLARS}),
        )
        for (benchmark, model), part in queries.groupby(["benchmark", "model"])
    }


SPEC = ReportSpec(
    "thinking_share",
    "Thinking as a share of output and bill",
    "One row per benchmark and model: share of the output tokens and of the bill that is thinking, with intervals.",
    thinking_share_report,
    "plot_thinking_share",
)
