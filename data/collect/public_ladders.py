"""The figures of public ladders that the project carries: scores of trained models with size, tokens and compute.

    FORETELL_MIRROR=... python -m foretell.collect.public_ladders --scores FILE

The file of --scores is a prepared table of benchmark scores that holds the set ``sloth``; the other sets come from the
mirror. A family of models is either learnt from or judged, never both: judged are OLMo, Pythia, and a quarter of the
others by a hash of their name.
"""

from __future__ import annotations

import argparse
import os
import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.catalog import fetch
from foretell.assets.families.downstream_scaling.measurements import MEASUREMENTS, PUBLIC_TABLE, binomial_error
from foretell.collect.public_ladder_sets.obs_scaling import OBS_TASKS, load_obs_scaling
from foretell.collect.public_ladder_sets.olmo_ladder import OLMO_TARGETS, OLMO_TASKS, load_olmo_ladder
from foretell.collect.public_ladder_sets.pythia_arithmetic import N_DRAWS, load_pythia_arithmetic
from foretell.collect.public_ladder_sets.pythia_evals_scaling import PYTHIA_TASKS, load_pythia_ladders
from foretell.collect.public_ladder_sets.sloth import SLOTH_TASKS, load_sloth

__all__ = ["FILE", "public_ladders"]

FILE = Path(__file__).resolve().parent.parent / "public" / f"{PUBLIC_TABLE}.parquet"
ALWAYS_JUDGED = ("olmo", "pythia")
JUDGED_OF = 4
"""One family in so many is judged."""


def public_ladders(scores: Path, mirror: str | None, cache: Path) -> pd.DataFrame:
    """Measurements of every public set, columns `MEASUREMENTS`."""
    obs = _obs(load_obs_scaling(fetch("obs-scaling", cache=cache, mirror=mirror)))
    sloth = _sloth(load_sloth(scores))
    # Both took these from the Open LLM leaderboard: one of the two counts.
    twice = pd.MultiIndex.from_frame(obs.assign(benchmark=obs["benchmark"].str[:3])[["family", "benchmark"]])
    shared = sloth["benchmark"].isin(["MMLU", "ARC", "HellaSwag", "Winogrande", "GSM8K", "HumanEval", "XWinograd"])
    keys = pd.MultiIndex.from_frame(sloth.assign(benchmark=sloth["benchmark"].str[:3])[["family", "benchmark"]])
    parts = [
        _olmo(load_olmo_ladder(fetch("olmo-ladder", cache=cache, mirror=mirror))),
        _pythia_arithmetic(load_pythia_arithmetic(fetch("pythia-arithmetic", cache=cache, mirror=mirror))),
        _pythia(load_pythia_ladders(fetch("pythia-evals", cache=cache, mirror=mirror))),
        obs, sloth[~(shared & keys.isin(twice))],
    ]  # fmt: skip
    table = pd.concat([part.reindex(columns=MEASUREMENTS) for part in parts], ignore_index=True)
    table["is_target"] &= table["family"].map(_is_judged)
    for name in ("score", "standard_error"):
        table[name] = table[name].round(6)  # points: what is published has seven digits
    return table.astype({"is_final": bool, "is_target": bool})


def _is_judged(family: str) -> bool:
    return family in ALWAYS_JUDGED or zlib.crc32(family.encode()) % JUDGED_OF == 0


def _family(name: str) -> str:
    return re.sub("[^a-z0-9.]", "", name.lower()).removeprefix("meta")


def _largest(table: pd.DataFrame, by: list[str]) -> pd.Series:
    return table.groupby(by)["train_flops"].transform("max") == table["train_flops"]


def _olmo(runs: pd.DataFrame) -> pd.DataFrame:
    runs = runs[runs["is_final"]]
    items = runs["benchmark"].map({name: float(n) for name, (_, _, n) in OLMO_TASKS.items()})
    return runs.assign(
        dataset="olmo-ladder", ladder="olmo", family="olmo", n_items=items,
        chance_score=runs["benchmark"].map({name: c for name, (_, c, _) in OLMO_TASKS.items()}),
        standard_error=np.hypot(binomial_error(runs["score"], items), runs["checkpoint_error"].fillna(0.0)),
        is_target=runs["run"].isin(list(OLMO_TARGETS)),
    )  # fmt: skip


def _pythia_arithmetic(items: pd.DataFrame) -> pd.DataFrame:
    keys = ["operation", "n_shot", "model", "n_params", "n_train_tokens", "train_flops", "step"]
    ordered = items.sort_values([*keys, "item_id"], kind="stable")
    rates = ordered.groupby(keys)["pass_rate"]
    table = rates.agg(["mean", "std", "size"]).assign(item_pass_rates=rates.agg(list)).reset_index()
    return table.assign(
        dataset="pythia-arithmetic", ladder="pythia-deduped", family="pythia", run=table["model"],
        benchmark=table["operation"] + "/" + table["n_shot"].astype("str") + "-shot", score=100 * table["mean"],
        standard_error=100 * np.maximum(table["std"] / np.sqrt(table["size"]), 0.5 / (N_DRAWS * table["size"])),
        n_items=table["size"] * float(N_DRAWS), chance_score=0.0, is_final=table["step"] == table["step"].max(),
        is_target=table["model"] == "12b",
    )  # fmt: skip


def _pythia(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        dataset="pythia", ladder=table["model_family"] + "/" + table["n_shot"].astype("str") + "-shot",
        family="pythia", run=table["model"], is_target=table["model"] == "12b",
        n_items=table["benchmark"].map({name: float(n) for name, (_, n) in PYTHIA_TASKS.items()}),
        chance_score=table["benchmark"].map({name: c for name, (c, _) in PYTHIA_TASKS.items()}),
    )  # fmt: skip


def _obs(table: pd.DataFrame) -> pd.DataFrame:
    return _leaderboard(table, "obs-scaling", OBS_TASKS, ["model_family"])


def _sloth(table: pd.DataFrame) -> pd.DataFrame:
    return _leaderboard(table, "sloth", SLOTH_TASKS, ["model_family", "benchmark"])


def _leaderboard(
    table: pd.DataFrame, dataset: str, tasks: dict[str, tuple[float, int]] | dict[str, tuple[float, float]],
    by: list[str],
) -> pd.DataFrame:  # fmt: skip
    items = table["benchmark"].map({name: float(n) for name, (_, n) in tasks.items()})
    return table.assign(
        dataset=dataset, ladder=table["model_family"], family=table["model_family"].map(_family), run=table["model"],
        n_items=items, chance_score=table["benchmark"].map({name: c for name, (c, _) in tasks.items()}),
        standard_error=binomial_error(table["score"], items), is_final=True, is_target=_largest(table, by),
    )  # fmt: skip


def main() -> None:
    """Parse, read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mirror = os.environ.get("FORETELL_MIRROR")
    beside = Path(mirror or "mirror").parent / "snapshots" / "llm_scores" / "scores.parquet"
    parser.add_argument("--scores", type=Path, default=beside, help="parquet file of benchmark scores")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    table = public_ladders(options.scores, mirror, Path(os.environ.get("FORETELL_HOME", ".foretell")) / "cache")
    table.to_parquet(options.out, index=False, compression="zstd", compression_level=19)
    counts = table.assign(judged=table["family"].map(_is_judged)).groupby(["dataset", "judged"])
    print(counts.agg(rows=("score", "size"), families=("family", "nunique"), models=("run", "nunique"),
                     tasks=("benchmark", "nunique")).to_string())  # fmt: skip
    print("judged:", ", ".join(sorted(family for family in table["family"].unique() if _is_judged(family))))
    print(f"{options.out}: {len(table):,} rows, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
