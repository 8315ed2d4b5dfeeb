"""Runs of one task that landed together, compared by item: is the difference a gain, or noise?"""

from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.resources import Workspace
from foretell.assets.store.markdown import markdown
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import compare_systems, sentence
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM

PARTS = 7
"""Newest days of `benchmark_runs` that are looked at, so that a night costs what is new."""
MOST_RUNS = 12
"""Of more runs of a task on a day the newest are compared."""
MOST_TASKS = 500
"""Tasks, day by day, that are compared: those that ended last."""
TASK = ["source", "benchmark", "metric", "filter"]


def compare_landed(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Every pair of runs of one source, task, metric and filter that began on one day, on the items of both.

    `runs` are rows of `benchmark_runs`; aggregates over all items are left out.

    Returns
    -------
    table : DataFrame
        Columns of `compare_systems` after `source`, `benchmark`, `metric`, `filter` and `day`; systems are named by
        model and run. P-values are Holm's over the runs of a task.
    verdicts : list of str
        A sentence per pair.
    """
    items = runs[runs["item_id"] != AGGREGATE_ITEM]
    tables, verdicts = [], []
    items = items.assign(day=items["started_at"].dt.strftime("%Y-%m-%d"))
    keys = [*TASK, "day"]
    last = items.groupby(keys, dropna=False)["started_at"].transform("max")
    of_task = items.groupby(keys, dropna=False, sort=False).ngroup()
    place = last.groupby(of_task).first().rank(ascending=False, method="first")
    if (n_more := len(place) - MOST_TASKS) > 0:
        verdicts.append(f"{n_more:,} tasks that ended before the {MOST_TASKS} newest are not compared")
        items = items[of_task.map(place) <= MOST_TASKS]
    for names, group in items.groupby(keys, dropna=False):
        newest = group.groupby("run_id")["started_at"].max().sort_values(kind="stable").index[-MOST_RUNS:]
        rows = group[group["run_id"].isin(newest)]
        scores = pd.DataFrame(
            {
                "system": rows["model"] + " (" + rows["run_id"] + ")", "item": rows["item_id"],
                "replicate": rows["replicate"], "score": np.where(rows["higher_is_better"], 1, -1) * rows["score"],
            }
        )  # fmt: skip
        if scores["system"].nunique() < 2:
            continue
        try:
            pairs = compare_systems(scores)
        except InvalidInputError as error:
            verdicts.append(f"{names[1]}: {error}")
            continue
        verdicts += [f"{names[1]}: {sentence(row)}" for row in pairs.to_dict("records")]
        named: dict[str, Any] = dict(zip([*TASK, "day"], names, strict=True))
        tables.append(pairs.assign(**named)[[*named, *pairs.columns]])
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), verdicts


@dg.asset(
    group_name="report",
    kinds={"parquet"},
    deps=["benchmark_runs"],
    description="One row per pair of runs of one task that began on one day: paired difference, verdict.",
)
def eval_comparisons(workspace: Workspace) -> dg.MaterializeResult:
    try:
        parts = Table.under(TABLES["benchmark_runs"].folder(workspace.root / "lake")).parts[-PARTS:]
        runs = Table(parts).collect()
    except FileNotFoundError:
        runs = TABLES["benchmark_runs"].empty()
    table, verdicts = compare_landed(runs)
    if table.empty:
        table = pd.DataFrame({"reason": ["no two runs of one task began on one day"]})
    said = "\n".join(f"- {line}" for line in verdicts) or "-"
    metadata = {"verdicts": dg.MetadataValue.md(said), "table": dg.MetadataValue.md(markdown(table.head(30)))}
    return dg.MaterializeResult(value=table, metadata=metadata)
