"""Cost of pass by model and benchmark, also without a class of models, and the frontier of cost and score.

Erol, El, Suzgun, Yuksekgonul, Zou (2025), Cost-of-Pass, arXiv 2504.13359: expected cost of an attempt over the chance
that it passes. The frontier of a benchmark is its cheapest pass; leaving a class of models out shows what it is worth.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.reports.runs import compared, pooled, query_means, query_table, scored_runs
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import money, percent
from foretell.predictors.metrics import frontier_membership, query_cost_of_pass

N_BOOTSTRAP = 1000
MIN_QUERIES = 5
THINKING_SHARE = 0.05
CLASSES = ("provider", "price", "thinking")


def cost_of_pass_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and model."""
    runs, reasons = scored_runs(traces, price_file)
    rows = []
    queries = query_means(pooled(runs, ["benchmark", "model"], reasons), ["cost_usd", "passed"])
    for (benchmark, model), part in queries.groupby(["benchmark", "model"], sort=True):
        found = query_cost_of_pass(part["cost_usd"].to_numpy(), part["passed"].to_numpy())
        rows.append(
            {
                "benchmark": benchmark, "model": model, "usd_per_pass": found.value, "ci_lower": found.ci_lower,
                "ci_upper": found.ci_upper, "pass_rate": found.pass_rate, "mean_cost_usd": found.mean_cost_usd,
                "n_queries": found.n_queries,
            }
        )  # fmt: skip
    if not rows:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    table = pd.DataFrame(rows).sort_values(["benchmark", "usd_per_pass"], kind="stable", ignore_index=True)
    few = compared(runs, reasons)
    without = counterfactuals(few, model_classes(few))
    best = table.drop_duplicates("benchmark")
    findings = [
        f"{row['benchmark']}: the cheapest pass is {row['model']} at {money(row['usd_per_pass'])} "
        f"[{money(row['ci_lower'])}, {money(row['ci_upper'])}], right {percent(row['pass_rate'])} of the time."
        for row in best.to_dict("records")
    ]
    dear = without[without["ratio_lower"] > 1].sort_values("ratio", ascending=False).head(3)
    findings += [
        f"Without {row.left_out} a pass on {row.benchmark} would cost {row.ratio:.1f} times as much "
        f"[{row.ratio_lower:.1f}, {row.ratio_upper:.1f}]."
        for row in dear.itertuples()
    ]
    return Report(table, {"Frontier without a class of models": without}, tuple(findings), tuple(reasons))


def model_classes(runs: pd.DataFrame) -> pd.DataFrame:
    """Classes of each model, index model: `provider`, `price` (against the median listed price), `thinking`."""
    by_model = runs.groupby("model")
    listed = by_model["listed_usd_per_mtok"].median()
    share = by_model["thinking_usd"].sum() / by_model["total_usd"].sum()
    return pd.DataFrame(
        {
            "provider": by_model["provider"].min().fillna("(unknown provider)"),
            "price": np.where(listed <= listed.median(), "models listed low", "models listed high"),
            "thinking": np.where(share > THINKING_SHARE, "models that think", "models that do not think"),
        }
    )


def counterfactuals(runs: pd.DataFrame, classes: pd.DataFrame, *, n_bootstrap: int = N_BOOTSTRAP) -> pd.DataFrame:
    """The cheapest pass of each benchmark with and without each class of models (`model_classes`).

    `runs` hold `benchmark`, `model`, `query_id`, `cost_usd`, `passed`; of several rows of a query and model the mean
    counts.

    Returns
    -------
    DataFrame
        `benchmark`, `by` (kind of class), `left_out`, `usd_per_pass`, `usd_per_pass_without`, `ratio` with its
        95 % bootstrap interval over queries, the same draw for all models. Infinite where nobody else ever passes.
    """
    rows = []
    for benchmark, part in runs.groupby("benchmark", sort=True):
        cost = query_table(part, "cost_usd").dropna()
        passed = query_table(part, "passed").reindex(cost.index)
        if len(cost) < 2 or cost.shape[1] < 2:
            continue
        n = len(cost)
        weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
        weights = np.vstack([np.ones(n), weights])  # the first row is the sample itself
        with np.errstate(divide="ignore"):
            per_pass = (weights @ cost.to_numpy()) / (weights @ passed.to_numpy())
        of_models = {kind: classes.loc[cost.columns, kind] for kind in CLASSES}
        for kind, name in [(kind, name) for kind, names in of_models.items() for name in sorted(set(names))]:
            rest = (of_models[kind] != name).to_numpy()
            if not rest.any():
                continue
            whole, without = per_pass.min(axis=1), per_pass[:, rest].min(axis=1)
            with np.errstate(invalid="ignore"):
                ratio = without / whole
            known = ratio[1:][~np.isnan(ratio[1:])]
            ends = np.quantile(known, [0.025, 0.975], method="inverted_cdf") if len(known) else [np.nan, np.nan]
            rows.append(
                {
                    "benchmark": benchmark, "by": kind, "left_out": name, "usd_per_pass": whole[0],
                    "usd_per_pass_without": without[0], "ratio": ratio[0], "ratio_lower": ends[0],
                    "ratio_upper": ends[1], "n_queries": n,
                }
            )  # fmt: skip
    columns = ["benchmark", "by", "left_out", "usd_per_pass", "usd_per_pass_without", "ratio", "ratio_lower",
               "ratio_upper", "n_queries"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def frontier_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and model, over the queries that every model answered."""
    runs, reasons = scored_runs(traces, price_file)
    rows = []
    for benchmark, part in compared(runs, reasons).groupby("benchmark", sort=True):
        costs, scores = query_table(part, "total_usd"), query_table(part, "score")
        common = costs.dropna().index
        if len(common) < MIN_QUERIES or costs.shape[1] < 2:
            reasons.append(f"{benchmark}: {len(common)} queries that all of {costs.shape[1]} models answered: too few.")
            continue
        members = frontier_membership(costs.loc[common], scores.loc[common]).sort_values("cost", ignore_index=True)
        members.insert(0, "benchmark", benchmark)
        rows.append(members.assign(n_queries=len(common)))
    if not rows:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    table = pd.concat(rows, ignore_index=True)
    findings = []
    for benchmark, part in table.groupby("benchmark", sort=True):
        sure = part.loc[part["probability"] >= 0.9, "model"].tolist()
        maybe = part.loc[part["verdict"] == "maybe"].to_dict("records")
        named = ", ".join(f"{row['model']} ({percent(row['probability'])})" for row in maybe)
        findings.append(
            f"{benchmark}: on the frontier {', '.join(sure) or 'nobody surely'}"
            + (f"; perhaps {named}." if named else ".")
        )
    return Report(table, {}, tuple(findings), tuple(reasons))


SPEC = ReportSpec(
    "cost_of_pass",
    "Cost of pass: what a right answer costs",
    "One row per benchmark and model: USD per passed answer with its interval, pass rate, mean cost.",
    cost_of_pass_report,
    "plot_cost_of_pass",
)
FRONTIER = ReportSpec(
    "frontier",
    "The frontier of cost and score",
    "One row per benchmark and model: mean cost, score, and the probability that no other is as good and cheaper.",
    frontier_report,
    "plot_frontiers",
)
