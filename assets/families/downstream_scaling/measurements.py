"""What trained models scored: one row per model, checkpoint and task of a public ladder or the own one."""

import zlib

import numpy as np
import pandas as pd

from foretell.assets.judging.family import LAKE
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.store.sources import Sources, read_public
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM

PUBLIC = ("olmo-ladder", "pythia-arithmetic", "pythia", "obs-scaling", "sloth")
PUBLIC_TABLE = "ladder_measurements"
"""Figures of the public sets, among the public figures; made by ``foretell.collect.public_ladders``."""
ALL_PUBLIC = "public"
DATASETS = ("ladder", ALL_PUBLIC, *PUBLIC, LAKE)
SPARE_TASKS = 4
"""Of tasks of one kind, such as the subjects of MMLU, one in so many is learnt from."""
LEAST_SEED_SD = 0.5
DRAWS = 100.0
"""Draws of each item of the own ladder: what a pass rate's noise is about, where exact probabilities are not used."""
MEASUREMENTS = [
    "dataset", "family", "ladder", "run", "benchmark", "n_params", "n_train_tokens", "train_flops", "score",
    "standard_error", "n_items", "chance_score", "is_final", "is_target", "item_pass_rates", "started_at",
]  # fmt: skip
"""Columns of a table of measurements: one row per model or checkpoint and task, scores and errors in points."""


def load_measurements(dataset: str, sources: Sources) -> pd.DataFrame:
    """One row per trained model, checkpoint and task of a data set, columns `MEASUREMENTS`.

    Raises
    ------
    InvalidInputError
        If the set is not known.
    DatasetError
        If its file is missing.
    """
    if dataset not in DATASETS:
        raise InvalidInputError(f"`dataset` must be one of {list(DATASETS)}, got {dataset!r}")
    if dataset == LAKE:
        table = _own(sources)
    else:
        names = PUBLIC if dataset == ALL_PUBLIC else (dataset,)
        table = _ladder(sources) if dataset == "ladder" else public_measurements(sources, *names)
        table = table.assign(started_at=pd.Series(pd.NaT, index=table.index))
    return table[MEASUREMENTS].reset_index(drop=True)


def public_measurements(sources: Sources, *datasets: str) -> pd.DataFrame:
    """Measurements of some public sets; without names those of the families that are learnt from, of all sets."""
    table = read_public(sources.public, PUBLIC_TABLE)
    if datasets:
        return table[table["dataset"].isin(datasets)]
    judged = table.loc[table["is_target"], "family"].unique()
    # A few tasks of a kind say what all of them say.
    kind = table["benchmark"].str.extract("^(hendrycksTest|bbh)")[0]
    is_spare = kind.notna() & (table["benchmark"].map(lambda name: zlib.crc32(name.encode()) % SPARE_TASKS) > 0)
    return table[~table["family"].isin(judged) & ~is_spare]


def binomial_error(score: pd.Series, n_items: pd.Series) -> pd.Series:
    """Standard error in points of a score (points) over so many items."""
    share = (score / 100).clip(0, 1)
    return pd.Series(100 * np.sqrt(np.maximum(share * (1 - share), 0.25 / n_items) / n_items), index=score.index)


def _ladder(sources: Sources) -> pd.DataFrame:
    from foretell.assets.families.downstream_scaling.ladder import load_ladder

    tables = load_ladder(sources.starter)
    ends = tables["samples"][tables["samples"]["checkpoint"] > 0.999].astype({"benchmark": "str", "model": "str"})
    rates = ends.sort_values("item_id", kind="stable").groupby(["model", "benchmark"])["exact_pass_rate"].agg(list)
    table = measurements_of_ladder(tables["checkpoints"])
    at = pd.MultiIndex.from_frame(table[["run", "benchmark"]])
    return table.assign(item_pass_rates=rates.reindex(at).where(table["is_final"].to_numpy()).to_numpy())


def _own(sources: Sources) -> pd.DataFrame:
    """Ladders of the lake; items are averaged, the model of each ladder with most compute is its target."""
    rows = TABLES["ladder_measurements"].read(sources.home / "lake")
    keys = ["source", "family", "model", "benchmark", "train_flops", "is_final"]
    items = rows["item_id"] != AGGREGATE_ITEM
    table = rows.assign(n_items=rows["n_items"].where(~items, 1.0)).groupby(keys, sort=False).agg(
        n_params=("n_params", "first"), n_train_tokens=("n_train_tokens", "first"), score=("score", "mean"),
        n_items=("n_items", "sum"), chance_score=("chance_score", "first"),
        standard_error=("standard_error", "mean"), started_at=("started_at", "max"),
    ).reset_index()  # fmt: skip
    models = [table[name] for name in ("source", "family", "model", "benchmark")]
    # Of a model that was only measured on its way the last checkpoint stands for its end.
    is_last = table["train_flops"] == table.groupby(models)["train_flops"].transform("max")
    table["is_final"] |= is_last & ~table.groupby(models)["is_final"].transform("any")
    n_items = table["n_items"].where(table["n_items"] > 0)
    error = table["standard_error"].where(table["standard_error"] > 0, binomial_error(table["score"], n_items))
    top = table["train_flops"].where(table["is_final"]).groupby(models[:2] + models[3:]).transform("max")
    return table.assign(
        dataset=table["source"], ladder=table["family"], run=table["model"], standard_error=error, n_items=n_items,
        item_pass_rates=None, chance_score=table["chance_score"].fillna(0.0), is_target=table["train_flops"] == top,
    )  # fmt: skip


def measurements_of_ladder(checkpoints: pd.DataFrame) -> pd.DataFrame:
    """Measurements of the project's own ladder from its table of checkpoints; all seeds of the largest are targets.

    A score is the mean exact pass probability over the items, in points. All models meet the same items, so what
    wanders is the seed: a standard error is the standard deviation over the seeds of a size, pooled over the task's
    sizes, and at least `LEAST_SEED_SD`.
    """
    table = checkpoints[checkpoints["level"] == 0].astype({"benchmark": "str", "model": "str", "family": "str"})
    score = 100.0 * table["score"].astype("float64")
    final = table["checkpoint"] > 0.999
    ends = table[final].assign(score=score[final])
    spread = ends.groupby(["benchmark", "n_params"])["score"].var(ddof=1).groupby("benchmark").mean()
    variance = table["benchmark"].map(spread).fillna(spread.mean())
    error = pd.Series(np.sqrt(variance), index=table.index).clip(lower=LEAST_SEED_SD)
    return table.assign(
        dataset="ladder", ladder=table["family"], item_pass_rates=None, run=table["model"], score=score, is_final=final,
        standard_error=error.fillna(LEAST_SEED_SD),
        n_items=table["n_items"].astype("float64") * DRAWS, chance_score=100.0 * table["chance"].astype("float64"),
        is_target=table["n_params"] == table["n_params"].max(),
    )  # fmt: skip
