"""Rivals of the downstream-scaling forecaster that need more than a ladder of scores, beside a direct law.

Clustering on difficulty needs items, observational scaling the scores of many models on many tasks.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assets.downstream_scaling import DRAWS, PIPELINE, examples_from_measurements
from assets.sources import Sources

__all__ = [
    "ITEM_SETS",
    "cod_tables",
    "item_examples",
    "item_measurements",
    "items_of_ladder",
    "observational_tables",
]

EVERY = 3
ITEM_SETS = ("ladder", "pythia-arithmetic")
"""Data sets that have items, for clustering on difficulty."""


def observational_tables(measured: pd.DataFrame) -> list[pd.DataFrame]:
    """Observational scaling against the bounded exponential law, on the largest model of every family.

    Split ``observational``; point forecasts, so of the metrics only the mean absolute error says something.
    """
    from predictors.downstream_scaling.ladder import read_ladders
    from predictors.downstream_scaling.methods import forecast_shares
    from predictors.downstream_scaling.observational import ObservationalLaw
    from predictors.metrics import evaluate

    examples = examples_from_measurements(measured)
    test = examples[examples["split"] == "test"].reset_index(drop=True)
    small = measured[~measured["is_target"]]
    share = (small["score"] - small["chance_score"]) / (100.0 - small["chance_score"])
    wide = small.assign(share=share).pivot_table(index="run", columns="benchmark", values="share")
    wide = wide[wide.notna().sum(axis=1) >= 3]
    about = small.drop_duplicates("run").set_index("run").loc[wide.index]
    law = ObservationalLaw.fit(
        wide.to_numpy(), np.log(about["train_flops"].to_numpy()), about["ladder"].to_numpy(dtype=str)
    )
    family = test["cell_id"].str.split("|").str[1]
    known = family.isin(about["ladder"]).to_numpy()
    test, family = test[known].reset_index(drop=True), family[known].reset_index(drop=True)
    found = np.array([
        law.forecast(wide[b].to_numpy(), name, float(np.log(c)))
        for b, name, c in zip(test["benchmark"], family, test["target_flops"], strict=True)
    ])  # fmt: skip
    direct = forecast_shares(read_ladders(PIPELINE.inputs(test)), ["exponential"])[:, 0]
    chance = test["chance_score"].to_numpy()
    points = {name: np.clip(chance + (100 - chance) * s, 0, 100) for name, s in
              (("observational", found), ("exponential_law", direct))}  # fmt: skip
    outcomes = test[["cell_id", "replicate", "value", "benchmark"]].assign(query_id=family)
    frames = {name: pd.DataFrame({0.5: p}, index=pd.Index(test["cell_id"])) for name, p in points.items()}
    return [
        evaluate(
            outcomes, frames["observational"], predictor="observational", family=PIPELINE.family, dataset="obs-scaling",
            split="observational", baseline=frames["exponential_law"], baseline_name="exponential_law",
            metrics=("mae",), segments=("benchmark",),
        )
    ]  # fmt: skip


def item_measurements(dataset: str, sources: Sources) -> pd.DataFrame:
    """Pass rates of items, one row per size, seed, set of items and item: what clustering on difficulty needs.

    Columns ``ladder``, ``seed``, ``benchmark`` (the set: a task, or a skill and all skills of the own ladder),
    ``item_id``, ``n_params``, ``n_train_tokens``, ``train_flops``, ``pass_rate`` (0-1, over adjacent checkpoints where
    the learning rate falls little between them).
    """
    if dataset == "ladder":
        from assets.ladder import load_ladder

        tables = load_ladder(sources.starter)
        return items_of_ladder(tables.samples, tables.tasks)
    from assets.readers.pythia_arithmetic import load_pythia_arithmetic

    items = load_pythia_arithmetic(_arithmetic_files(sources))
    late = items[items["step"] >= 0.8 * items["step"].max()]
    keys = ["operation", "n_shot", "item_id", "n_params"]
    rates = late.groupby(keys)["pass_rate"].mean().reset_index()
    ends = items[items["step"] == items["step"].max()].drop(columns="pass_rate").merge(rates, on=keys)
    benchmark = ends["operation"] + "/" + ends["n_shot"].astype("str") + "-shot"
    return pd.DataFrame(ends.assign(ladder="pythia-deduped", seed=0, benchmark=benchmark))


def _arithmetic_files(sources: Sources) -> list[Path]:
    from assets.catalog import fetch

    return fetch("pythia-arithmetic", cache=sources.cache, mirror=sources.mirror)


def items_of_ladder(samples: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Items of the own ladder, in sets by skill, and every third of all skills together."""
    ends = samples[samples["checkpoint"] > 0.999].astype({"benchmark": "str", "item_id": "str", "family": "str"})
    skill = (
        tasks.astype({"benchmark": "str", "skill": "str"}).drop_duplicates("benchmark").set_index("benchmark")["skill"]
    )
    table = pd.DataFrame({
        "ladder": ends["family"], "seed": ends["seed"].astype(int), "item_id": ends["item_id"],
        "n_params": ends["n_params"], "n_train_tokens": ends["n_train_tokens"], "train_flops": ends["train_flops"],
        "pass_rate": ends["exact_pass_rate"].astype("float64"),
    })  # fmt: skip
    every = table.assign(benchmark="all skills")[table["item_id"].map(_rank(table["item_id"])) % EVERY == 0]
    return pd.concat([table.assign(benchmark=ends["benchmark"].map(skill)), every])


def _rank(names: pd.Series) -> dict[str, int]:
    return {name: i for i, name in enumerate(sorted(names.unique()))}


def item_examples(dataset: str, items: pd.DataFrame) -> pd.DataFrame:
    """Forecasts from items: every size with four or more below it is the target of one example per set and seed.

    The largest size is the test split.
    """
    rows: list[dict[str, Any]] = []
    largest = items["n_params"].max()
    for (ladder, seed, benchmark), group in items.groupby(["ladder", "seed", "benchmark"], sort=True):
        wide = group.pivot_table(index="n_params", columns="item_id", values="pass_rate").sort_index()
        about = group.drop_duplicates("n_params").set_index("n_params").sort_index()
        rates = wide.to_numpy()
        for t in range(4, len(wide)):
            name = f"{dataset}|{ladder}|{benchmark}|{seed}|{wide.index[t]:g}"
            rows.append({
                "cell_id": name, "query_id": str(benchmark), "replicate": 0, "repeat_prob": 1.0,
                "split": "test" if wide.index[t] == largest else "train", "value": 100.0 * float(rates[t].mean()),
                "standard_error": np.nan, "benchmark": str(benchmark),
                "target_flops": float(about["train_flops"].iloc[t]),
                "target_params": float(wide.index[t]), "chance_score": 0.0, "upper_score": 100.0,
                "n_items": float(rates.shape[1]) * DRAWS, "ladder_flops": about["train_flops"].iloc[:t].tolist(),
                "ladder_params": wide.index[:t].tolist(), "ladder_scores": (100.0 * rates[:t].mean(axis=1)).tolist(),
                "item_pass_rates": [row.tolist() for row in rates[:t]],
            })  # fmt: skip
    return pd.DataFrame(rows)


def cod_tables(dataset: str, items: pd.DataFrame) -> list[pd.DataFrame]:
    """COD against the bounded exponential law on the same sets of items.

    Split ``cod_largest`` has the largest size as target, ``cod_smaller`` all smaller ones; segment ``cod=answers`` are
    the forecasts that COD makes, the others stand as the law's own. Point forecasts: only the mean absolute error.
    """
    from predictors.downstream_scaling.baselines import CodBaseline
    from predictors.downstream_scaling.ladder import read_ladders
    from predictors.downstream_scaling.methods import forecast_shares
    from predictors.metrics import evaluate

    examples = item_examples(dataset, items)
    X = PIPELINE.inputs(examples)
    law = np.clip(100.0 * forecast_shares(read_ladders(X), ["exponential"])[:, 0], 0.0, 100.0)
    index = pd.Index(examples["cell_id"])
    base = pd.DataFrame({0.5: law}, index=index)
    tables = []
    for name, space in (("cod", "raw"), ("cod_logit", "logit")):
        cod = CodBaseline(space="raw" if space == "raw" else "logit", relative_unit=dataset == "ladder")
        score = np.array([np.nan if r is None or r.abstains else 100.0 * r.score for r in cod.reports(X)])
        answered = np.isfinite(score)
        forecast = pd.DataFrame({0.5: np.where(answered, score, law)}, index=index)
        for split, rows in examples.assign(cod=np.where(answered, "answers", "abstains")).groupby("split", sort=True):
            outcomes = rows[["cell_id", "query_id", "replicate", "value", "benchmark", "cod"]]
            tables.append(
                evaluate(
                    outcomes, forecast, predictor=name, family=PIPELINE.family, dataset=dataset,
                    split="cod_largest" if split == "test" else "cod_smaller", baseline=base,
                    baseline_name="exponential_law", metrics=("mae",), segments=("benchmark", "cod"),
                )
            )  # fmt: skip
    return tables
