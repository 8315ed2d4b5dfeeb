"""Price-reversal audit: where the price list ranks models one way and their bills the other, and why.

Chen, Zhang, He, Stoica, Zaharia, Zou (2026), The Price Reversal Phenomenon, arXiv 2603.23971: listed price is input +
output per token, reversals are counted over pairs of models per task. Here a reversal of mean costs counts as
confirmed only where queries that both models answered show it, with the false discovery rate held at 5 %; and each is
attributed to prices, thinking, answers and prompts by Shapley values.
"""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.reports.runs import compared, priced_runs, query_means, query_table
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import percent
from foretell.predictors.metrics import rank_reversals

FACTORS = ("price", "thinking", "answer", "prompt")
MIN_QUERIES = 5
Cost = dict[str, tuple[float, ...]]


def attribute_ratio(one: Cost, other: Cost) -> dict[str, float]:
    """Split the log ratio of two mean costs into what each factor adds: Shapley values.

    Parameters
    ----------
    one, other : mapping
        ``price`` (USD per input token, USD per output token), and mean tokens of ``thinking``, ``answer`` and
        ``prompt``, each a tuple.

    Returns
    -------
    dict
        Log ratio by factor of `FACTORS`; they add up to log cost of `one` minus log cost of `other`.

    References
    ----------
    Shapley (1953), A value for n-person games.

    Examples
    --------
    >>> dear = {"price": (1.0, 1.0), "thinking": (80.0,), "answer": (10.0,), "prompt": (10.0,)}
    >>> cheap = {"price": (1.0, 1.0), "thinking": (5.0,), "answer": (10.0,), "prompt": (10.0,)}
    >>> {name: round(value, 3) for name, value in attribute_ratio(dear, cheap).items()}
    {'price': 0.0, 'thinking': 1.386, 'answer': 0.0, 'prompt': 0.0}
    """
    shares = dict.fromkeys(FACTORS, 0.0)
    orders = list(permutations(FACTORS))
    for order in orders:
        taken = dict(other)
        for name in order:
            before = _log_cost(taken)
            taken[name] = one[name]
            shares[name] += (_log_cost(taken) - before) / len(orders)
    return shares


def _log_cost(cost: Cost) -> float:
    per_input, per_output = cost["price"]
    return float(np.log(per_input * cost["prompt"][0] + per_output * (cost["thinking"][0] + cost["answer"][0])))


def price_reversals_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark and pair of models of different listed price."""
    runs, reasons = priced_runs(traces, price_file)
    runs = compared(runs, reasons)
    thinking = runs["reasoning_tokens"].astype("float64").fillna(0.0)
    runs = runs.assign(
        thinking=thinking, answer=runs["output_tokens"].astype("float64") - thinking, prompt=runs["input_tokens"],
        bare_usd=runs["total_usd"] - runs["thinking_usd"],
    )  # fmt: skip
    pairs, summaries = [], []
    for benchmark, part in runs.groupby("benchmark", sort=True):
        prices = part.groupby("model")["listed_usd_per_mtok"].median()
        costs = query_table(part, "total_usd")
        if why := _unusable(costs, prices):
            reasons.append(f"{benchmark}: {why}.")
            continue
        pair_rows, summary = _of_benchmark(part, costs, prices)
        pairs.append(pair_rows.assign(benchmark=benchmark))
        summaries.append({"benchmark": str(benchmark), **summary})
    if not pairs:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    table = pd.concat(pairs, ignore_index=True)
    table.insert(0, "benchmark", table.pop("benchmark"))
    summary_table = pd.DataFrame(summaries)
    return Report(table, {"By benchmark": summary_table}, _findings(table, summary_table), tuple(reasons))


def _unusable(costs: pd.DataFrame, prices: pd.Series) -> str:
    if prices.round(9).nunique() < 2:
        return "fewer than two models of different price"
    n = len(costs.dropna())
    return "" if n >= MIN_QUERIES else f"only {n} queries that every model answered"


def _of_benchmark(part: pd.DataFrame, costs: pd.DataFrame, prices: pd.Series) -> tuple[pd.DataFrame, dict[str, object]]:
    found = rank_reversals(costs, prices)
    without = query_table(part, "bare_usd").reindex(costs.index)
    common = costs.dropna().index
    known = without.loc[common].notna().all() & (without.loc[common].mean() > 0)
    bare = without.loc[common, known[known].index]
    comparable = bare.shape[1] >= 2 and prices[bare.columns].nunique() >= 2
    plain = rank_reversals(bare, prices) if comparable else None
    whole = rank_reversals(costs[bare.columns], prices) if comparable else None
    pairs = found.pairs.copy()
    pairs["listed_cheaper"], pairs["listed_dearer"] = (prices[pairs[side]].to_numpy() for side in ("cheaper", "dearer"))
    half = 1.96 * np.abs(pairs["log_ratio"] / pairs["z"].where(pairs["z"] != 0))
    pairs["cost_ratio"] = np.exp(pairs["log_ratio"])
    pairs["ratio_lower"], pairs["ratio_upper"] = np.exp(pairs["log_ratio"] - half), np.exp(pairs["log_ratio"] + half)
    pairs["is_reversed"] = pairs["log_ratio"] > 0
    if plain is not None:
        gone = plain.pairs.set_index(["cheaper", "dearer"])["log_ratio"] > 0
        pairs["is_reversed_without_thinking"] = [gone.get((row.cheaper, row.dearer)) for row in pairs.itertuples()]
    means = _mean_tokens(part[part["query_id"].isin(common)])
    shares = [
        attribute_ratio(means[str(cheaper)], means[str(dearer)])
        for cheaper, dearer in zip(pairs["cheaper"], pairs["dearer"], strict=True)
    ]
    for name in FACTORS:
        pairs[f"{name}_log_ratio"] = [share[name] for share in shares]
    pairs["n_queries"] = found.n_queries
    summary: dict[str, object] = {
        "pairs": len(pairs), "reversed": int(pairs["is_reversed"].sum()),
        "confirmed": int((pairs["status"] == "reversed").sum()),
        "unresolved": int((pairs["status"] == "unresolved").sum()),
        "reversed_without_thinking": None if plain is None else int((plain.pairs["log_ratio"] > 0).sum()),
        "raw_share": found.raw_share, "raw_lower": found.ci_lower, "raw_upper": found.ci_upper,
        "tau": found.tau, "tau_lower": found.tau_ci_lower, "tau_upper": found.tau_ci_upper,
        "models_with_thinking_known": bare.shape[1],
        "tau_of_these": float("nan") if whole is None else whole.tau,
        "tau_without_thinking": float("nan") if plain is None else plain.tau,
        "reversed_of_these": None if whole is None else int((whole.pairs["log_ratio"] > 0).sum()),
        "largest_reversal": float(pairs["cost_ratio"].where(pairs["is_reversed"]).max()),
        "n_models": costs.shape[1], "n_queries": found.n_queries,
    }  # fmt: skip
    return pairs, summary


def _mean_tokens(part: pd.DataFrame) -> dict[str, Cost]:
    """Prices and mean tokens of each model, each query counted once; thinking 0 where it is not reported."""
    rates = ["usd_per_input_token", "usd_per_output_token"]
    queries = query_means(part, [*FACTORS[1:], *rates])
    means = queries.groupby("model")[[*FACTORS[1:], *rates]].mean()
    return {
        str(model): {
            "price": tuple(float(row[name]) for name in rates),
            **{name: (float(row[name]),) for name in FACTORS[1:]},
        }
        for model, row in means.iterrows()
    }


def _findings(table: pd.DataFrame, summary: pd.DataFrame) -> tuple[str, ...]:
    reversed_ = table[table["is_reversed"]]
    n, raw = len(table), len(reversed_)
    confirmed = int((table["status"] == "reversed").sum())
    unresolved = int((table["status"] == "unresolved").sum())
    findings = [
        f"{raw} of {n} pairs ({percent(raw / n, 1)}) are reversed: {confirmed} confirmed; {unresolved} pairs are "
        "unresolved."
    ]
    if summary["reversed_without_thinking"].notna().any():
        bare = int(summary["reversed_without_thinking"].fillna(0).sum())
        whole = int(summary["reversed_of_these"].fillna(0).sum())
        findings.append(
            f"Without the cost of thinking {bare} pairs are reversed instead of {whole}; Kendall's tau between price "
            f"and cost is {summary['tau_of_these'].mean():.3f}, without thinking "
            f"{summary['tau_without_thinking'].mean():.3f}."
        )
    if raw:
        worst = reversed_.iloc[int(reversed_["cost_ratio"].argmax())]
        cause = max(FACTORS, key=lambda name: worst[f"{name}_log_ratio"])
        findings.append(
            f"The largest: {worst['cheaper']} costs {worst['cost_ratio']:.1f} times as much as {worst['dearer']} on "
            f"{worst['benchmark']}, though it is listed at "
            f"{percent(worst['listed_cheaper'] / worst['listed_dearer'])} of its price; most of it is {cause}."
        )
    return tuple(findings)


SPEC = ReportSpec(
    "price_reversals",
    "Price reversals: what the list says, what the bill says",
    "One row per benchmark and pair of models: listed prices, cost ratio with interval, verdict, and what caused it.",
    price_reversals_report,
    "plot_price_reversals",
    drawn=lambda pairs: pairs["is_reversed"],
)
