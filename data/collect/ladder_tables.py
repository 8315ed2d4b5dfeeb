"""Turn the runs of a ladder into its tables, and write them small."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.collect.ladder_tasks import heldout_items
from foretell.collect.ladder_train import Run, read_run
from foretell.collect.ladder_words import describe_tasks, task_table
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.ladder_samples import LadderSamples

__all__ = ["FAMILY", "build_tables", "summarise", "write_tables"]

FAMILY = "foretell-ladder"
_RUN_COLUMNS = ["family", "model", "width", "seed", "n_params", "n_train_tokens", "train_flops", "steps", "cpu_s"]
_CELL = ["family", "model", "benchmark", "level", "checkpoint"]
_CONSTANT = ["n_params", "n_train_tokens", "train_flops", "seed"]


def build_tables(runs: Sequence[Run], cache: Path) -> dict[str, pd.DataFrame]:
    """The tables of those of `runs` that are whole: the files that `ladder.load_ladder` reads, by name.

    Raises
    ------
    DatasetError
        If none is whole.
    """
    whole = [run for run in runs if (cache / run.name / "done.json").exists()]
    if not whole:
        raise DatasetError(f"{cache}: no whole run of this ladder yet; run the collector again to go on")
    samples, curves, records = [], [], []
    for run in whole:
        record, checkpoints = read_run(run, cache / run.name)
        about: dict[str, Any] = {
            "family": FAMILY,
            "model": run.name,
            "seed": run.seed,
            "n_params": float(record["n_params"]),
        }
        samples += [_samples(run, about, run.plan.checkpoints[i], table) for i, table in checkpoints.items()]
        curves.append(pd.DataFrame(record["curve"]).assign(**about))
        records.append({**record, **about})
    per_level = whole[0].plan.items_per_level
    tasks = task_table(per_level)
    table = LadderSamples.validate(pd.concat(samples, ignore_index=True), lazy=True)
    return {
        "samples": table,
        "checkpoints": summarise(table, tasks),
        "training_curves": _curves(pd.concat(curves, ignore_index=True)),
        "descriptions": describe_tasks(per_level),
        "tasks": tasks,
        "runs": _with_flops(pd.DataFrame(records))[_RUN_COLUMNS],
    }


def summarise(samples: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """One row per model, benchmark, level and checkpoint, and one with `level` 0 for all levels together.

    The standard errors ``*_se`` are those of drawing other items within each level, `sampled_se` that of drawing
    other answers to these items.
    """
    reals = ("greedy", "loss", "exact_pass_rate", "pass_rate")
    values = samples.assign(**{name: samples[name].astype("float64") for name in reals})
    exact = values["exact_pass_rate"]
    values["draw_variance"] = exact * (1 - exact) / values["n_draws"].where(values["n_draws"] > 0)
    groups = values.groupby(_CELL, observed=True, sort=False)
    out = groups[_CONSTANT].first()
    out["n_items"] = groups.size()
    for name, column in (("score", "exact_pass_rate"), ("greedy", "greedy"), ("loss", "loss")):
        out[name], out[f"{name}_se"] = groups[column].mean(), groups[column].sem()
    out["sampled_score"] = groups["pass_rate"].mean()
    out["sampled_se"] = np.sqrt(groups["draw_variance"].sum(min_count=1)) / out["n_items"]
    levels = out.reset_index().merge(tasks[["benchmark", "level", "chance"]], on=["benchmark", "level"], how="left")
    order = [*_CELL[:4], "n_items", *_CONSTANT, "checkpoint", "score", "score_se", "sampled_score", "sampled_se"]
    order += ["greedy", "greedy_se", "loss", "loss_se", "chance"]
    return _compact(pd.concat([_over_levels(levels), levels], ignore_index=True)[order])


def _over_levels(levels: pd.DataFrame) -> pd.DataFrame:
    """Levels weigh by their items; their errors are independent."""
    share = levels["n_items"] / levels.groupby(["model", "benchmark", "checkpoint"])["n_items"].transform("sum")
    errors = ["score_se", "greedy_se", "loss_se", "sampled_se"]
    means = ["score", "greedy", "loss", "sampled_score", "chance"]
    weighted = levels.assign(
        **{name: (levels[name] * share) ** 2 for name in errors}, **{name: levels[name] * share for name in means}
    )
    keys = [*_CELL[:3], "checkpoint", *_CONSTANT]
    out = weighted.groupby(keys, sort=False)[[*errors, *means, "n_items"]].sum(min_count=1).reset_index()
    return out.assign(level=0, **{name: np.sqrt(out[name]) for name in errors})


def _samples(run: Run, about: dict[str, Any], checkpoint: float, measured: pd.DataFrame) -> pd.DataFrame:
    items = heldout_items(run.plan.items_per_level)
    loss = measured["loss"].clip(lower=0).astype("float32")
    table = measured.assign(
        **about, checkpoint=checkpoint, loss=loss, exact_pass_rate=np.exp(-loss.astype("float64")),
        n_draws=run.plan.n_draws, pass_rate=measured["n_correct"] / run.plan.n_draws if run.plan.n_draws else np.nan,
        benchmark=[item.task for item in items], level=[item.level for item in items],
        item_id=[item.item_id for item in items],
    )  # fmt: skip
    return _with_flops(table)[list(LadderSamples.to_schema().columns)]


def _with_flops(table: pd.DataFrame) -> pd.DataFrame:
    tokens, params = table["n_train_tokens"].astype("float64"), table["n_params"].astype("float64")
    return table.assign(n_train_tokens=tokens, n_params=params, train_flops=6.0 * params * tokens)


def _curves(curves: pd.DataFrame) -> pd.DataFrame:
    names = ["train_loss", "validation_loss", "validation_score"]
    curves = _with_flops(curves)
    first = ["family", "model", "seed", "n_params", "step", "n_train_tokens", "train_flops"]
    return _compact(curves[[*first, *names]])


def _compact(table: pd.DataFrame) -> pd.DataFrame:
    whole = {"level": "int8", "seed": "int16", "step": "int32", "n_items": "int32"}
    exact = {"n_params", "n_train_tokens", "train_flops", "checkpoint", "chance"}
    floats = {c: "float32" for c in table.select_dtypes("float").columns if c not in exact}
    texts = {c: "category" for c in ("family", "model", "benchmark") if c in table}
    return table.astype({**{c: t for c, t in whole.items() if c in table}, **floats, **texts})


def write_tables(tables: dict[str, pd.DataFrame], out: Path) -> None:
    """Write ``<out>/<name>.parquet`` for every table, each whole or not at all, compressed with zstd."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        temporary = out / f".{name}.parquet.tmp"
        # Reals that hardly repeat are smaller split by byte than behind a dictionary.
        split = [c for c in ("loss", "exact_pass_rate") if c in table and table[c].dtype == "float32"]
        plain: dict[str, Any] = {
            "use_dictionary": [c for c in table.columns if c not in split],
            "use_byte_stream_split": split,
        }
        table.to_parquet(temporary, index=False, compression="zstd", compression_level=19, **(plain if split else {}))
        os.replace(temporary, out / f"{name}.parquet")
