"""What reports on prices and passes rest on: sums of runs by query, model and benchmark, that can be added up.

A part of the traces is priced where it lies; what leaves it are sums and counts without any text. The mean over the
runs of a query then is that of all parts, so reports are the same however the traces are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.reports.spec import price_runs, priced_reasons, score_reasons
from foretell.assets.reports.trace_parts import ROWS_IN_RUN, TracePart, drawn_reasons, drawn_share, trace_parts

PRICING = [
    "query_id", "model", "provider", "service_tier", "started_at", "benchmark", "prompt_text", "input_tokens",
    "output_tokens", "reasoning_tokens", "is_censored", "score",
]  # fmt: skip
"""What prices, passes and their reasons are read from; the text only for its length, where input is not counted."""


QUERY = ["benchmark", "model", "query_id"]
LISTED = ["benchmark", "model", "listed_usd_per_mtok"]
PRICED = ("total_usd", "thinking", "answer", "prompt", "per_input", "per_output")
SCORED = ("scored_usd", "score", "passed")


@dataclass(frozen=True, eq=False)
class RunSums:
    """Sums over runs, of one part or of all.

    Attributes
    ----------
    queries : DataFrame
        Index `QUERY`; sums of `PRICED` over `runs`, of `bare_usd` (cost without thinking) over `bare_runs`, of
        `SCORED` over `scored_runs`.
    listed : DataFrame
        Index `LISTED`; `runs` and `scored_runs` at each listed price.
    models : DataFrame
        Index model; counts of runs that are kept, left out and why, dollars of thinking, the first provider by name.
    n_drawn, n_there : int
        Runs that were added up, and those of all queries.
    """

    queries: pd.DataFrame
    listed: pd.DataFrame
    models: pd.DataFrame
    n_drawn: int
    n_there: int

    @classmethod
    def merged(cls, parts: Sequence[RunSums]) -> RunSums:
        """Sums of all parts; they may share queries, not runs."""
        queries = _added([part.queries for part in parts], QUERY)
        listed = _added([part.listed for part in parts], LISTED)
        models = pd.concat([part.models for part in parts])
        counts = models.drop(columns="provider").groupby(level="model").sum()
        providers = models.groupby(level="model")["provider"].min()
        n_drawn, n_there = sum(part.n_drawn for part in parts), sum(part.n_there for part in parts)
        return cls(queries, listed, counts.assign(provider=providers), n_drawn, n_there)

    def priced(self) -> pd.DataFrame:
        """One row per query and model with a price: means over its runs, columns `QUERY`, `PRICED`, `bare_usd`."""
        sums = self.queries[self.queries["runs"] > 0]
        means = sums[list(PRICED)].div(sums["runs"], axis=0)
        return means.assign(bare_usd=sums["bare_usd"] / sums["bare_runs"].where(sums["bare_runs"] > 0)).reset_index()

    def scored(self) -> pd.DataFrame:
        """One row per query and model with a price and a score: means over its runs, `cost_usd`, `score`, `passed`."""
        sums = self.queries[self.queries["scored_runs"] > 0]
        means = sums[list(SCORED)].div(sums["scored_runs"], axis=0).rename(columns={"scored_usd": "cost_usd"})
        return means.assign(total_usd=means["cost_usd"]).reset_index()

    def listed_prices(self, by: list[str], runs: str = "runs") -> pd.Series:
        """Median over runs of the listed price, USD per million tokens, input + output."""
        counts = self.listed.loc[self.listed[runs] > 0, runs].rename("n").reset_index()
        return counts.groupby(by)[["listed_usd_per_mtok", "n"]].apply(_weighted_median)

    def reasons(self) -> list[str]:
        """What was drawn, and which models are left out for want of a price, and why."""
        return [*drawn_reasons(self.n_drawn, self.n_there), *priced_reasons(self.models)]

    def reasons_scored(self) -> list[str]:
        """The same, and how many runs have no score."""
        return [*self.reasons(), *score_reasons(int(self.models["unscored"].sum()), int(self.models["kept"].sum()))]


def run_sums(traces: pd.DataFrame | Table, price_file: Path | None, *, max_rows: int = ROWS_IN_RUN) -> RunSums:
    """Price the runs of `request_traces` and add them up, wherever the engine is; keys count once over all days.

    The sums are kept by query, for models are compared on the queries that they share; so of more than about
    `max_rows` runs, those of some queries are drawn.
    """
    engine, parts = trace_parts(traces)
    work = partial(_sums_of_part, price_file=price_file, share=drawn_share(traces, max_rows))
    return RunSums.merged(engine.map(work, parts))


def _sums_of_part(part: TracePart, price_file: Path | None, share: float) -> RunSums:
    drawn, n_there = part.draw(PRICING, share)
    runs = price_runs(drawn, price_file)
    counts = pd.DataFrame(
        {
            "model": runs["model"], "runs": 1, "estimated": runs["is_estimated"],
            "no_price": runs["usd_per_output_token"].isna(), "provider": runs["provider"],
        }
    )  # fmt: skip
    counts["no_input"] = ~counts["no_price"] & runs["total_usd"].isna()
    kept = counts["kept"] = runs["total_usd"].notna() & ~counts["no_price"]
    scored = kept & runs["score"].notna()
    counts["censored"], counts["unscored"] = kept & runs["is_censored"], kept & ~scored
    counts["thinking_usd"] = runs["thinking_usd"].where(scored).fillna(0.0)
    counts["scored_usd"] = runs["total_usd"].where(scored, 0.0)
    counts["provider"] = runs["provider"].where(scored)
    models = counts.drop(columns="provider").groupby("model").sum()
    models["provider"] = counts.groupby("model")["provider"].min()

    tokens = runs["reasoning_tokens"].astype("float64")
    score = runs["score"].astype("float64").where(scored, 0.0)
    columns = pd.DataFrame(
        {
            **{name: runs[name] for name in QUERY},
            "runs": 1,
            "total_usd": runs["total_usd"],
            "thinking": tokens.fillna(0.0),
            "answer": runs["output_tokens"].astype("float64") - tokens.fillna(0.0),
            "prompt": runs["input_tokens"],
            "per_input": runs["usd_per_input_token"],
            "per_output": runs["usd_per_output_token"],
            "bare_runs": runs["thinking_usd"].notna().astype("int64"),
            "bare_usd": (runs["total_usd"] - runs["thinking_usd"]).fillna(0.0),
            "scored_runs": scored.astype("int64"),
            "scored_usd": counts["scored_usd"],
            "score": score,
            "passed": (score >= 1).astype("float64"),
        }
    )
    listed = runs.assign(runs=1, scored_runs=scored.astype("int64"))[[*LISTED, "runs", "scored_runs"]]
    return RunSums(columns[kept].groupby(QUERY).sum(), listed[kept].groupby(LISTED).sum(), models, len(drawn), n_there)


def _added(tables: Sequence[pd.DataFrame], by: list[str]) -> pd.DataFrame:
    # As columns: indexes of several levels are joined one table after the other, each time over all that came before.
    rows = pd.concat([table.reset_index() for table in tables], ignore_index=True)
    return rows.groupby(by, dropna=False).sum()


def _weighted_median(counts: pd.DataFrame) -> float:
    """Median where each price counts `n` times."""
    in_order = counts.sort_values("listed_usd_per_mtok")
    ends = in_order["n"].cumsum().to_numpy()
    middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
    return float(in_order["listed_usd_per_mtok"].to_numpy()[middle].mean())
