"""Budgeted routing: what quality is kept and what money is saved on held-out queries, against simple policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.engine import Table
from assets.reports.cost_of_pass import scored_runs
from assets.reports.report import Report, ReportSpec, build_report_asset, query_table
from assets.reports.run_sums import PRICING
from assets.reports.trace_parts import ROWS_IN_RUN, draw_queries
from predictors.errors import DatasetError
from predictors.splits import assign_split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
    from predictors.thinking_tokens.routing import SuccessForecaster

__all__ = ["ROUTED", "SPEC", "Router", "fit_router", "routing_report", "routing_report_asset"]

BUDGETS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
MIN_COVERAGE = 0.95
MAX_CENSORED = 0.2
MIN_QUERIES = 50
N_BOOTSTRAP = 1000
ROUTED = [*PRICING, "reasoning_effort"]
"""What a router is learnt from."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Router:
    """Forecasts of success and cost of every model for a query, learnt from scored and priced runs."""

    models: tuple[str, ...]
    efforts: dict[str, str | None]
    success: "SuccessForecaster"
    tokens: "ThinkingTokensPredictor"
    price_file: Path | None

    def forecast(self, requests: pd.DataFrame) -> tuple[Floats, Floats]:
        """Chance of passing and expected cost in USD, each of shape (n_requests, n_models)."""
        from predictors.thinking_tokens.cost import price_forecast

        chances, costs = [], []
        for model in self.models:
            X = requests.assign(model=model, reasoning_effort=self.efforts[model])
            mean = pd.DataFrame({"mean": self.tokens.predict_mean(X)})
            chances.append(self.success.predict(X).to_numpy(dtype=np.float64))
            costs.append(price_forecast(X, mean, price_file=self.price_file)["cost_mean_usd"].to_numpy(np.float64))
        return np.column_stack(chances), np.column_stack(costs)


def fit_router(runs: pd.DataFrame, models: Sequence[str], price_file: Path | None = None) -> Router:
    """Learn a router.

    Parameters
    ----------
    runs : DataFrame
        Of `cost_of_pass.scored_runs`: `model`, `prompt_text`, `passed`, `output_tokens`, ...
    models : sequence of str
        To choose from.
    price_file : Path, optional
        The user's own prices.

    Raises
    ------
    DatasetError
        If no run has a text.
    """
    from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
    from predictors.thinking_tokens.routing import SuccessForecaster

    learn = runs[runs["model"].isin(list(models)) & runs["prompt_text"].notna()].reset_index(drop=True)
    if learn.empty:
        raise DatasetError("no scored and priced run has a text: routing reads prompts; ingest with --prompts")
    columns = ["model", "benchmark", "reasoning_effort", "prompt_text", "input_tokens"]
    tokens = ThinkingTokensPredictor(n_estimators=25, refit=False).fit(
        learn[columns],
        learn["output_tokens"].astype("float64").clip(lower=1),
        groups=learn["query_id"],
        is_censored=learn["is_censored"],
    )
    success = SuccessForecaster().fit(learn, learn["passed"])
    efforts: dict[str, str | None] = {}
    for model, own in learn.groupby("model")["reasoning_effort"]:
        usual = own.dropna().mode()
        efforts[str(model)] = str(usual.iloc[0]) if len(usual) else None
    return Router(tuple(map(str, models)), efforts, success, tokens, price_file)


def usable_models(runs: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Models that answered nearly every query and were rarely cut off, and why others are not among them.

    Benchmarks that a single model was run on do not count.
    """
    runs = runs[runs.groupby("benchmark")["model"].transform("nunique") > 1]
    n_queries = runs["query_id"].nunique()
    models = runs.groupby("model")
    share = models["query_id"].nunique() / n_queries
    censored = models["is_censored"].mean()
    kept = share.index[(share >= MIN_COVERAGE) & (censored <= MAX_CENSORED)]
    reasons = []
    few, cut = share.index[share < MIN_COVERAGE], censored.index[censored > MAX_CENSORED]
    if len(few):
        reasons.append(f"Not to choose from, for want of runs on every query: {', '.join(few)}.")
    if len(cut):
        reasons.append(f"Not to choose from, being mostly cut off: {', '.join(cut)}.")
    return [str(model) for model in kept], reasons


def routing_report(
    traces: pd.DataFrame | Table, price_file: Path | None = None, *, max_rows: int = ROWS_IN_RUN
) -> Report:
    """One row per policy and budget, judged on the test queries by what was really paid and scored.

    Texts must be here to be learnt from: of more than about `max_rows` runs, those of some queries are drawn.
    """
    drawn = draw_queries(traces, ROUTED, max_rows=max_rows)
    runs, reasons = scored_runs(drawn.rows, price_file)
    reasons = [*drawn.reasons(), *reasons]
    if runs.empty:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    models, why = usable_models(runs)
    reasons += why
    if len(models) < 2 or runs["prompt_text"].isna().all():
        reasons.append("Routing needs the prompts, and two models or more that answered the same queries.")
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    runs = runs[runs["model"].isin(models)]
    is_test = assign_split(runs["query_id"]) == "test"
    test = runs[is_test & runs["prompt_text"].notna()]
    costs = query_table(test, "total_usd")[models].dropna()
    scores = query_table(test, "score")[models].reindex(costs.index)
    if len(costs) < MIN_QUERIES:
        reasons.append(f"Only {len(costs)} test queries that every model answered: {MIN_QUERIES} are needed.")
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    router = fit_router(runs[~is_test], models, price_file)
    asked = test.drop_duplicates("query_id").set_index("query_id").loc[costs.index]
    success, expected = router.forecast(asked[["benchmark", "prompt_text", "input_tokens"]])
    learnt = runs[~is_test].groupby("model")[["total_usd", "score"]].mean().loc[models]
    table = _policies(models, success, expected, costs.to_numpy(), scores.to_numpy(), learnt)
    return Report(table, {}, _findings(table), tuple(reasons))


def _policies(
    models: Sequence[str], success: Floats, expected: Floats, costs: Floats, scores: Floats, learnt: pd.DataFrame
) -> pd.DataFrame:
    from predictors.thinking_tokens.routing import assign_models, cascade

    n = len(costs)
    rows = np.arange(n)
    best, cheapest = int(learnt["score"].argmax()), int(learnt["total_usd"].argmin())
    chosen: list[tuple[str, float, Floats]] = []  # policy, budget per query, share of each model per query
    one_hot = np.eye(len(models))
    for column, model in enumerate(models):
        name = f"always {model}" + (" (best)" if column == best else "") + (" (cheapest)" if column == cheapest else "")
        chosen.append((name, np.nan, np.tile(one_hot[column], (n, 1))))
    chosen.append(("random", np.nan, np.full((n, len(models)), 1 / len(models))))
    # From the cheapest model for every query to whatever is likeliest to pass, or the best model if that costs more.
    least = expected.min(axis=1).sum()
    most = max(expected[:, best].sum(), expected[rows, success.argmax(axis=1)].sum())
    for share in BUDGETS:
        budget = float(least + share * (most - least)) * (1 + 1e-9)
        chosen.append(("router", budget / n, one_hot[assign_models(success, expected, budget).choice]))
        found = cascade(success, expected, budget)
        chosen.append(("cascade", budget / n, one_hot[found.choose(success)]))
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP) / n
    paid_best, kept_best = costs[rows, best], scores[rows, best]
    table = []
    for policy, budget_per_query, shares in chosen:
        paid, quality = (shares * costs).sum(axis=1), (shares * scores).sum(axis=1)
        draws = weights @ np.column_stack([paid, quality, paid_best, kept_best])
        saved, kept = 1 - draws[:, 0] / draws[:, 2], draws[:, 1] / np.maximum(draws[:, 3], 1e-12)
        ends = {
            name: np.quantile(values, [0.025, 0.975])
            for name, values in (("quality", draws[:, 1]), ("saved", saved), ("kept", kept))
        }
        table.append(
            {
                "policy": policy, "budget_usd_per_query": budget_per_query, "usd_per_query": paid.mean(),
                "quality": quality.mean(), "quality_lower": ends["quality"][0], "quality_upper": ends["quality"][1],
                "money_saved": 1 - paid.mean() / paid_best.mean(), "saved_lower": ends["saved"][0],
                "saved_upper": ends["saved"][1], "quality_kept": quality.mean() / max(kept_best.mean(), 1e-12),
                "kept_lower": ends["kept"][0], "kept_upper": ends["kept"][1], "n_queries": n,
            }
        )  # fmt: skip
    return pd.DataFrame(table)


def _findings(table: pd.DataFrame) -> tuple[str, ...]:
    routed = table[table["policy"] == "router"]
    as_good = routed[routed["kept_lower"] >= 0.98].sort_values("usd_per_query")
    findings = []
    if len(as_good):
        row = as_good.iloc[0]
        findings.append(
            f"The router keeps {row['quality_kept']:.1%} [{row['kept_lower']:.1%}, {row['kept_upper']:.1%}] of the "
            f"best model's quality and saves {row['money_saved']:.0%} "
            f"[{row['saved_lower']:.0%}, {row['saved_upper']:.0%}] of its cost."
        )
    top = routed.iloc[int(routed["quality"].argmax())]
    findings.append(
        f"Its best quality is {top['quality']:.3f} [{top['quality_lower']:.3f}, {top['quality_upper']:.3f}] at "
        f"${top['usd_per_query']:.4g} a query ({top['quality_kept']:.1%} of the best model's, {top['money_saved']:.0%} "
        "saved)."
    )
    random = table[table["policy"] == "random"].iloc[0]
    below = routed[routed["usd_per_query"] <= random["usd_per_query"]]
    if len(below):
        row = below.iloc[int(below["quality"].argmax())]
        findings.append(
            f"For no more than a random choice costs (${random['usd_per_query']:.4g}) it scores {row['quality']:.3f} "
            f"instead of {random['quality']:.3f}."
        )
    return tuple(findings)


def _draw(report: Report) -> "Figure":
    from predictors.report_plots import plot_routing

    figure = plot_routing(report.table).get_figure(root=True)
    assert figure is not None
    return figure


SPEC = ReportSpec(
    "routing",
    "Routing under a budget: quality kept, money saved",
    "One row per policy and budget: what the test queries really cost and scored, and the share of the best model's.",
    routing_report,
    _draw,
)
routing_report_asset = build_report_asset(SPEC)
