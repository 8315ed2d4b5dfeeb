"""Which models are on the frontier of cost and score, how surely, and who takes their place without a class."""

from pathlib import Path

import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.reports.cost_of_pass import model_classes, without_each
from foretell.assets.reports.runs import query_table, run_sums
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import percent

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
        for kind, name, rest in without_each(classes, costs.columns):
            if rest.sum() >= 2:
                left = _membership(costs.loc[:, rest], scores.loc[:, rest])
                without.append(left.assign(benchmark=benchmark, by=kind, left_out=name))
    if not rows:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    table = _first(pd.concat(rows, ignore_index=True), ["benchmark"])
    more = {}
    if without:
        more["Frontiers without a class of models"] = _first(
            pd.concat(without, ignore_index=True), ["benchmark", "by", "left_out"]
        )
    else:
        reasons.append("A frontier without a class of models needs two models of other classes.")
    findings = []
    for benchmark, part in table.groupby("benchmark", sort=True):
        sure = part.loc[part["probability"] >= 0.9, "model"].tolist()
        maybe = part.loc[part["verdict"] == "maybe"].to_dict("records")
        named = ", ".join(f"{row['model']} ({percent(row['probability'])})" for row in maybe)
        findings.append(
            f"{benchmark}: on the frontier {', '.join(sure) or 'nobody surely'}"
            + (f"; perhaps {named}." if named else ".")
        )
    return Report(table, more, tuple(findings), tuple(reasons))


def _membership(costs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    from foretell.predictors.metrics import frontier_membership

    return frontier_membership(costs, scores).sort_values("cost", ignore_index=True)


def _first(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table[[*columns, *(name for name in table.columns if name not in columns)]]


SPEC = ReportSpec(
    "frontier",
    "The frontier of cost and score",
    "One row per benchmark and model: mean cost, score, and the probability that no other is as good and cheaper.",
    frontier_report,
    "plot_frontiers",
)
