"""Which models are on the frontier of cost and score, how surely, and who takes their place without a class."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from assets.engine import Table
from assets.reports.cost_of_pass import CLASSES, model_classes
from assets.reports.report import Report, ReportSpec, build_report_asset, query_table
from assets.reports.run_sums import run_sums

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SPEC", "frontier_report", "frontier_report_asset"]

MIN_QUERIES = 5


def frontier_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and model, over the queries that every model answered."""
    sums = run_sums(traces, price_file)
    runs, reasons = sums.scored(), sums.reasons_scored()
    rows, without = [], []
    classes = model_classes(sums) if len(runs) else pd.DataFrame()
    for benchmark, part in runs.groupby("benchmark", sort=True):
        costs, scores = query_table(part, "total_usd"), query_table(part, "score")
        common = costs.dropna().index
        if len(common) < MIN_QUERIES or costs.shape[1] < 2:
            reasons.append(f"{benchmark}: {len(common)} queries that all of {costs.shape[1]} models answered: too few.")
            continue
        costs, scores = costs.loc[common], scores.loc[common]
        rows.append(_membership(costs, scores).assign(benchmark=benchmark, n_queries=len(common)))
        for kind in CLASSES:
            of_model = classes.loc[costs.columns, kind]
            for name in sorted(set(of_model)):
                rest = of_model.index[of_model != name]
                if len(rest) < 2:
                    continue
                left = _membership(costs[rest], scores[rest])
                without.append(left.assign(benchmark=benchmark, by=kind, left_out=name))
    if not rows:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    table = _first(pd.concat(rows, ignore_index=True), ["benchmark"])
    counterfactual = _first(pd.concat(without, ignore_index=True), ["benchmark", "by", "left_out"])
    findings = []
    for benchmark, part in table.groupby("benchmark", sort=True):
        sure = part.loc[part["probability"] >= 0.9, "model"].tolist()
        maybe = part.loc[part["verdict"] == "maybe"].itertuples()
        named = ", ".join(f"{row.model} ({row.probability:.0%})" for row in maybe)
        findings.append(
            f"{benchmark}: on the frontier {', '.join(sure) or 'nobody surely'}"
            + (f"; perhaps {named}." if named else ".")
        )
    return Report(table, {"Frontiers without a class of models": counterfactual}, tuple(findings), tuple(reasons))


def _membership(costs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    from predictors.metrics import frontier_membership

    return frontier_membership(costs, scores).sort_values("cost", ignore_index=True)


def _first(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table[[*columns, *(name for name in table.columns if name not in columns)]]


def _draw(report: Report) -> "Figure":
    from predictors.report_plots import plot_frontiers

    return plot_frontiers(report.table)


SPEC = ReportSpec(
    "frontier",
    "The frontier of cost and score",
    "One row per benchmark and model: mean cost, score, and the probability that no other is as good and cheaper.",
    frontier_report,
    _draw,
)
frontier_report_asset = build_report_asset(SPEC)
