"""What was spent, by day, project, key and model, beside what had been quoted for it."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.judging.family import PUBLIC_SOURCE
from foretell.assets.reports.quotes import READ, Quote, kept_quotes, quoted_runs, short_id
from foretell.assets.reports.runs import TracePart, trace_parts
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import money

GROUP = ["day", "project", "key", "model"]
SUMS = ["requests", "usd", "input_tokens", "output_tokens", "unpriced"]
COLUMNS = [*READ, "input_tokens", "cost_reported_usd", "source", "project", "key_name"]
KEPT = [*READ, "query", "day", "project", "key"]


def spend_report(traces: pd.DataFrame | Table, price_file: Path | None = None, home: Path | None = None) -> Report:
    """One row per UTC day, project, key and model; public runs, which nobody here paid, are left out.

    `usd` is `cost_usd`, else what the source reports. `quoted_usd` is what the newest quote before them said of those
    requests that were in one, its median spread evenly over its batch, and `paid_for_quoted_usd` what they came to.
    A request without a project counts under its source. Sums of days come here, and runs of quoted queries alone.
    """
    del price_file  # what was paid, at the prices of its day
    kept = kept_quotes(home)
    engine, parts = trace_parts(traces)
    queries = frozenset(query for quote in kept for query in quote["queries"])
    sums, quoted = zip(*engine.map(partial(_spend_of_part, queries=queries), parts), strict=True)
    table = pd.concat(sums).groupby(GROUP, as_index=False)[SUMS].sum(min_count=1)
    if table.empty:
        return Report(pd.DataFrame(), reasons=("No request of your own has a day: ingest what was sent.",))
    table = table.merge(_quoted(kept, pd.concat(quoted, ignore_index=True)), on=GROUP, how="left")
    table["quoted_requests"] = table["quoted_requests"].fillna(0).astype("int64")
    order = [*GROUP, "requests", "usd", "quoted_usd", "paid_for_quoted_usd"]
    table = table[[*order, *(name for name in table if name not in order)]]
    table = table.sort_values(["day", "usd"], ascending=False, ignore_index=True, kind="stable")
    by_key = table.groupby(["project", "key"], as_index=False)[["requests", "usd", "quoted_usd", "paid_for_quoted_usd"]]
    totals = by_key.sum(min_count=1).sort_values("usd", ascending=False, ignore_index=True)
    return Report(table, {"By project and key": totals}, _findings(table), _reasons(table))


def _spend_of_part(part: TracePart, queries: frozenset[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums by `GROUP`, and the runs of quoted queries without any text."""
    runs = part.read(COLUMNS)
    runs = runs[~runs["source"].str.startswith(PUBLIC_SOURCE) & runs["started_at"].notna()]
    usd = runs["cost_usd"].astype("float64").fillna(runs["cost_reported_usd"].astype("float64"))
    keys = runs["key_name"].astype("str").str.replace(r"^([0-9a-f]{12})[0-9a-f]{52}$", r"\1", regex=True)
    runs = runs.assign(
        day=pd.to_datetime(runs["started_at"], utc=True).dt.strftime("%Y-%m-%d"), key=keys.fillna("(none)"),
        project=runs["project"].astype("str").fillna(runs["source"]), usd=usd, cost_usd=usd, requests=1,
        unpriced=usd.isna().astype("int64"), query=short_id(runs["query_id"]),
    )  # fmt: skip
    runs = runs.astype({"input_tokens": "float64", "output_tokens": "float64"})
    return runs.groupby(GROUP, as_index=False)[SUMS].sum(min_count=1), runs[runs["query"].isin(queries)][KEPT]


def _quoted(kept: list[Quote], runs: pd.DataFrame) -> pd.DataFrame:
    """What was quoted for runs, by `GROUP`; a run before any quote of its query (a pilot) is of the first after it."""
    quoted_usd = pd.Series(np.nan, index=runs.index)
    files = pd.Series(None, index=runs.index, dtype="str")
    for quote in kept:
        for total, part in quoted_runs(quote, runs):
            if total["usd_median"] is not None:
                its = part.index[~part["is_early"] | files[part.index].isna()]
                quoted_usd[its], files[its] = total["usd_median"] / total["n_requests"], quote["file"]
    runs = runs.assign(quoted_usd=quoted_usd, quote=files)[files.notna()]
    return runs.groupby(GROUP, as_index=False).agg(
        quoted_usd=("quoted_usd", "sum"), paid_for_quoted_usd=("cost_usd", "sum"), quoted_requests=("query", "size"),
        quote=("quote", lambda names: ", ".join(sorted(set(names)))),
    )  # fmt: skip


def _findings(table: pd.DataFrame) -> tuple[str, ...]:
    by_day, by_project = (table.groupby(name)["usd"].sum().sort_values(ascending=False) for name in ("day", "project"))
    first, last = table["day"].min(), table["day"].max()
    span = first if first == last else f"{first} to {last}"
    lines = [f"{span}: {money(table['usd'].sum())} for {table['requests'].sum():,} requests; "
             f"the dearest day was {by_day.index[0]} with {money(by_day.iloc[0])}."]  # fmt: skip
    if len(by_project) > 1:
        dearest = ", ".join(f"{name} {money(usd)}" for name, usd in by_project.head(3).items())
        lines.append(f"Dearest of {len(by_project)} projects: {dearest}.")
    if table["quoted_requests"].any():
        paid, quoted = table["paid_for_quoted_usd"].sum(), table["quoted_usd"].sum()
        lines.append(f"{table['quoted_requests'].sum():,} requests had been quoted at {money(quoted)} in the median "
                     f"and came to {money(paid)}; `foretell report quotes` has the intervals.")  # fmt: skip
    return tuple(lines)


def _reasons(table: pd.DataFrame) -> tuple[str, ...]:
    unpriced = table[table["unpriced"] > 0]
    reasons = []
    if len(unpriced):
        names = ", ".join(sorted(unpriced["model"].unique())[:4])
        reasons.append(f"{unpriced['unpriced'].sum():,} requests have no price and are not in these dollars ({names}): "
                       "add their models to your price file and curate the days again.")  # fmt: skip
    if not table["quoted_requests"].any():
        reasons.append("None of these requests had been quoted: `foretell quote` before a batch puts its quote here.")
    return tuple(reasons)


SPEC = ReportSpec(
    name="spend",
    title="Spend by day, project, key and model",
    grain="One row per UTC day, project, key and model: what was paid, and what had been quoted for it.",
    make=spend_report,
    plot="plot_spend",
    reads_home=True,
    drawn=lambda spend: (spend["usd"] > 0) & (spend["day"] != spend["day"].max()),
    asset="spend_daily",
)
