"""Scores that lie in the lake -> the tables that examples are made of: one aggregate per run, described or not."""

from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.store.sources import read_public
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM, BenchmarkRuns
from foretell.predictors.schemas.contracts import completed
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions, BenchmarkModels

METRICS = ("acc", "exact_match", "accuracy", "score", "match", "includes", "pass@1", "pass_at_1", "f1")
"""Of several metrics of a benchmark the first of these is its score, where its description names none."""
_RUN = ["source", "run_id", "metric", "filter", "benchmark", "model"]


def own_tables(lake: Path, public: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Descriptions, runs (with their `source`) and models of the lake, as `prepare_tables` takes them.

    What the lake does not say of a benchmark or a model, the public figures of the package do, where they know it.

    A run of which the lake holds items alone is their mean, in points; its epochs are replicates. A benchmark that
    nobody has described has a description without words.
    """
    runs = _aggregates(TABLES["benchmark_runs"].read(lake))
    described = _with_public(TABLES["benchmark_descriptions"].read(lake), public, "benchmark_descriptions", "benchmark")
    runs = _one_metric(runs, described.set_index("benchmark")["metric"])
    described = described[described["benchmark"].isin(runs["benchmark"])]
    missing = sorted(set(runs["benchmark"]) - set(described["benchmark"]))
    described = pd.concat([described, pd.DataFrame({"benchmark": missing})], ignore_index=True)
    models = _with_public(TABLES["models"].read(lake), public, "models", "model")
    models = models.assign(model_family=models["model_family"].fillna(models["vendor"]))
    return _grouped(described), runs, completed(models, BenchmarkModels)


def _with_public(own: pd.DataFrame, public: Path, table: str, key: str) -> pd.DataFrame:
    """Rows of the lake, and those of the figures of the package for names that it does not have."""
    shipped = read_public(public, table)
    rows = pd.concat([own, shipped[[name for name in shipped if name in own]]], ignore_index=True)
    return rows.drop_duplicates(key, ignore_index=True)


def _grouped(described: pd.DataFrame) -> pd.DataFrame:
    from foretell.predictors.benchmark_scores.description.leakage import description_text, leak_groups

    texts = description_text(described).tolist() if len(described) else []
    names = described["benchmark"].tolist()
    groups = pd.Series(leak_groups(names, texts, [None] * len(names)), index=described.index, dtype="str")
    return completed(described.assign(leak_group=described["leak_group"].fillna(groups)), BenchmarkDescriptions)


def _aggregates(rows: pd.DataFrame) -> pd.DataFrame:
    """Reported aggregates, and the means of items of the runs that have none."""
    is_whole = rows["item_id"] == AGGREGATE_ITEM
    whole, items = rows[is_whole], rows[~is_whole]
    reported = pd.MultiIndex.from_frame(whole[_RUN])
    items = items[~pd.MultiIndex.from_frame(items[_RUN]).isin(reported)]
    if items.empty:
        return whole.reset_index(drop=True)
    means = items.groupby([*_RUN, "replicate"], dropna=False)["score"].mean().groupby(level=_RUN)
    cells = items.groupby(_RUN, dropna=False)
    shares = cells["score"].agg(lambda s: bool(s.between(0, 1).all()))
    scale = np.where(shares, 100.0, 1.0)
    within = items.groupby([*_RUN, "item_id"], dropna=False)["score"].mean().groupby(level=_RUN)
    made = cells.first().assign(
        score=means.mean() * scale, item_id=AGGREGATE_ITEM, replicate=0, n_items=cells["item_id"].nunique(),
        standard_error_reported=within.std() / np.sqrt(within.size()) * scale, n_replicates=means.size(),
        replicate_sd=means.std() * scale, tokens=float("nan"),
    ).reset_index()  # fmt: skip
    return pd.concat([whole, made[list(rows.columns)].astype(rows.dtypes)], ignore_index=True)


def _one_metric(runs: pd.DataFrame, wanted: pd.Series) -> pd.DataFrame:
    """Of every benchmark the rows of one metric, of those of which higher is better where there are any."""
    place = {name: i for i, name in enumerate(METRICS)}
    rank = runs["metric"].map(place).fillna(len(METRICS)) + 100.0 * ~runs["higher_is_better"].astype(bool)
    rank = rank.where(runs["metric"] != runs["benchmark"].map(wanted), -1.0)
    order = runs.assign(_rank=rank).sort_values(["_rank", "metric", "filter"], kind="stable")
    first = order.groupby("benchmark")[["metric", "filter"]].transform("first")
    kept = order[(order["metric"] == first["metric"]) & (order["filter"] == first["filter"])]
    return kept[["source", *BenchmarkRuns.to_schema().columns]].reset_index(drop=True)
