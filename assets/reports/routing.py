"""Budgeted routing: what quality is kept and what money is saved on held-out queries, against simple policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Table
from foretell.assets.reports.runs import MOST_COMPARED, ROWS_IN_RUN, TEXT, listed, query_table, scored_runs
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import money, percent
from foretell.predictors.base import BasePredictor
from foretell.predictors.errors import DatasetError
from foretell.predictors.splits import SPLITS, assign_split
from foretell.predictors.success.predictor import SuccessPredictor
from foretell.predictors.thinking_tokens.bill.routing import assign_models
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.prices.cost import price_forecast

BUDGETS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
MIN_COVERAGE = 0.95
MAX_CENSORED = 0.2
MIN_QUERIES = 50
N_BOOTSTRAP = 1000
ROUTED = [TEXT, "query_id", "reasoning_effort", "answer_logprob"]
"""What a router or a cascade is learnt from, beside what prices are."""
Floats = NDArray[np.float64]
Policy = tuple[str, float, Floats, Floats]
"""Name, budget per query (NaN without one), and what each test query cost and scored under it."""


@dataclass(frozen=True)
class Router:
    """Forecasts of success and cost of every model for a query: those of the two families."""

    models: tuple[str, ...]
    efforts: dict[str, str | None]
    success: "BasePredictor"
    tokens: "BasePredictor"
    price_file: Path | None

    def forecast(self, requests: pd.DataFrame) -> tuple[Floats, Floats]:
        """Chance of passing and expected cost in USD, each of shape (n_requests, n_models)."""
        chances, costs = [], []
        for model in self.models:
            X = requests.assign(model=model, reasoning_effort=self.efforts.get(model))
            mean = pd.DataFrame({"mean": self.tokens.predict_mean(X)})
            chances.append(self.success.predict_mean(X).to_numpy(dtype=np.float64))
            costs.append(price_forecast(X, mean, price_file=self.price_file)["cost_mean_usd"].to_numpy(np.float64))
        return np.column_stack(chances), np.column_stack(costs)


def fit_router(runs: pd.DataFrame, models: Sequence[str], price_file: Path | None = None) -> Router:
    """Learn to route between `models` from runs of `runs.scored_runs`.

    Raises `DatasetError` if no run has a text.
    """
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
    success = SuccessPredictor().fit(learn[columns], learn["passed"], groups=learn["query_id"])
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
        reasons.append(f"Not to choose from, for want of runs on every query: {listed(few)}.")
    if len(cut):
        reasons.append(f"Not to choose from, being mostly cut off: {listed(cut)}.")
    if len(kept) > MOST_COMPARED:
        reasons.append(f"To choose from are the {MOST_COMPARED} models with most runs, of {len(kept):,}.")
        most = models.size()[kept].sort_values(ascending=False, kind="stable").index[:MOST_COMPARED]
        kept = most.sort_values()
    return [str(model) for model in kept], reasons


def lack_of_evidence(runs: pd.DataFrame, models: Sequence[str]) -> str | None:
    """Why neither a report nor a promise can rest on these runs (of `runs.scored_runs`); None where it can."""
    if len(models) < 2 or runs["prompt_text"].isna().all():
        return "Routing needs the prompts, and two models or more that answered the same queries."
    of_models = runs[runs["model"].isin(list(models)) & runs["prompt_text"].notna()]
    test = of_models[assign_split(of_models["query_id"]) == "test"]
    n_test = len(query_table(test, "total_usd").reindex(columns=list(models)).dropna())
    if n_test < MIN_QUERIES:
        share = SPLITS["test"]
        return (
            f"Only {n_test} test queries that every model answered: {MIN_QUERIES} are needed. One query in "
            f"{1 / share:.0f} is for testing, so score some {MIN_QUERIES / share:.0f} on every model; there are "
            f"{of_models['query_id'].nunique()}."
        )
    return None


@dataclass(frozen=True)
class Evidence:
    """What policies are learnt from and judged by: runs of `runs.scored_runs` with a column `split`."""

    models: list[str]
    runs: pd.DataFrame

    def answers(self, split: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Queries of a split that every model answered: what was asked, USD and scores; one column per model."""
        runs = self.runs[(self.runs["split"] == split) & self.runs["prompt_text"].notna()]
        costs = query_table(runs, "total_usd").reindex(columns=self.models).dropna()
        asked = runs.drop_duplicates("query_id").set_index("query_id").loc[costs.index]
        scores = query_table(runs, "score")[self.models].loc[costs.index]
        return asked[["benchmark", "prompt_text", "input_tokens"]], costs, scores

    def learnt_means(self, *splits: str) -> pd.DataFrame:
        """Mean USD and score of every model on the queries of some splits."""
        runs = self.runs[self.runs["split"].isin(splits)]
        return runs.groupby("model")[["total_usd", "score"]].mean().loc[self.models]


def read_evidence(
    traces: pd.DataFrame | Table, price_file: Path | None, max_rows: int
) -> tuple[Evidence | None, pd.DataFrame, list[str]]:
    """Models that answered the same queries, None where too few did; all scored runs; and what is to be said.

    Texts must be here to be learnt from: of more than about `max_rows` runs, those of some queries are drawn.
    """
    runs, reasons = scored_runs(traces, price_file, more=ROUTED, max_rows=max_rows)
    if runs.empty:
        return None, runs, reasons
    models, why = usable_models(runs)
    reasons += why
    if (lack := lack_of_evidence(runs, models)) is not None:
        return None, runs, [*reasons, lack]
    of_models = runs[runs["model"].isin(models)]
    return Evidence(models, of_models.assign(split=assign_split(of_models["query_id"]))), runs, reasons


def routing_report(
    traces: pd.DataFrame | Table, price_file: Path | None = None, *, max_rows: int = ROWS_IN_RUN
) -> Report:
    """One row per policy and budget, judged on the test queries by what was really paid and scored."""
    evidence, _, reasons = read_evidence(traces, price_file, max_rows)
    if evidence is None:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    asked, costs, scores = evidence.answers("test")
    router = fit_router(evidence.runs[evidence.runs["split"] != "test"], evidence.models, price_file)
    success, expected = router.forecast(asked)
    learnt = evidence.learnt_means("train", "calibration")
    table = _policies(evidence.models, success, expected, costs.to_numpy(), scores.to_numpy(), learnt)
    return Report(table, {}, _findings(table), tuple(reasons))


def _policies(
    models: Sequence[str], success: Floats, expected: Floats, costs: Floats, scores: Floats, learnt: pd.DataFrame
) -> pd.DataFrame:
    n, rows = len(costs), np.arange(len(costs))
    best, cheapest = int(learnt["score"].argmax()), int(learnt["total_usd"].argmin())
    chosen: list[Policy] = []
    for column, model in enumerate(models):
        name = f"always {model}" + (" (best)" if column == best else "") + (" (cheapest)" if column == cheapest else "")
        chosen.append((name, np.nan, costs[:, column], scores[:, column]))
    chosen.append(("random", np.nan, costs.mean(axis=1), scores.mean(axis=1)))
    # From the cheapest model for every query to whatever is likeliest to pass, or the best model if that costs more.
    least = expected.min(axis=1).sum()
    most = max(expected[:, best].sum(), expected[rows, success.argmax(axis=1)].sum())
    for share in BUDGETS:
        budget = float(least + share * (most - least)) * (1 + 1e-9)
        choice = assign_models(success, expected, budget).choice
        chosen.append(("router", budget / n, costs[rows, choice], scores[rows, choice]))
    return judged(chosen, costs[:, best], scores[:, best])


def judged(policies: Sequence[Policy], paid_best: Floats, kept_best: Floats) -> pd.DataFrame:
    """One row per policy: what it paid and scored, beside the best model for every query; bootstrap over queries."""
    n = len(paid_best)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP) / n
    table = []
    for policy, budget_per_query, paid, quality in policies:
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
            f"The router keeps {percent(row['quality_kept'], 1)} "
            f"[{percent(row['kept_lower'], 1)}, {percent(row['kept_upper'], 1)}] of the best model's "
            f"quality and saves {percent(row['money_saved'])} "
            f"[{percent(row['saved_lower'])}, {percent(row['saved_upper'])}] of its cost."
        )
    top = routed.iloc[int(routed["quality"].argmax())]
    findings.append(
        f"Its best quality is {top['quality']:.3f} [{top['quality_lower']:.3f}, {top['quality_upper']:.3f}] at "
        f"{money(top['usd_per_query'])} a query ({percent(top['quality_kept'], 1)} of the best model's, "
        f"{percent(top['money_saved'])} saved)."
    )
    random = table[table["policy"] == "random"].iloc[0]
    below = routed[routed["usd_per_query"] <= random["usd_per_query"]]
    if len(below):
        row = below.iloc[int(below["quality"].argmax())]
        findings.append(
            f"For no more than a random choice costs ({money(random['usd_per_query'])}) it scores {row['quality']:.3f} "
            f"instead of {random['quality']:.3f}."
        )
    return tuple(findings)


SPEC = ReportSpec(
    "routing",
    "Routing under a budget: quality kept, money saved",
    "One row per policy and budget: what the test queries really cost and scored, and the share of the best model's.",
    routing_report,
    "plot_routing",
)
