"""The figures of public training runs that the project carries: logged metrics over steps, with seeds.

    FORETELL_MIRROR=... python -m foretell.collect.public_curves --curves FOLDER

The folder of --curves holds runs.parquet (a row per run) and curves.parquet (a row per run, step and metric). Of every
workload a few settings are kept, from as many submissions as there are, and of every setting three runs, so that seeds
can be compared; long logs are thinned.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["FILE", "public_curves"]

FILE = Path(__file__).resolve().parent.parent / "public" / "training_curves.parquet"
BASES = (
    "criteo1tb", "fastmri", "imagenet_resnet", "imagenet_vit", "librispeech_conformer", "librispeech_deepspeech",
    "ogbg", "wmt",
)  # fmt: skip
"""Workloads of AlgoPerf, of which the others are variants."""
SETTINGS = {"algoperf": 8, "modded-nanogpt": 24}
"""Settings of a workload that are kept."""
SEEDS = 3
MOST_POINTS = 50
LEAST_POINTS = 8


def public_curves(folder: Path) -> pd.DataFrame:
    """One row per run, metric and step: `source`, `base`, `workload`, `setting`, `curve_id`, `seed`, `hparams`,
    `metric`, `step`, `value` (float32)."""
    runs, points = (pd.read_parquet(folder / f"{name}.parquet") for name in ("runs", "curves"))
    runs["workload"] = runs["task"]
    runs["base"] = [_base(name) for name in runs["task"]]
    runs["hparams"] = runs["hparams"].fillna("")
    setting = runs["source"] + "|" + runs["task"] + "|" + runs["config"] + "|" + runs["hparams"]
    runs["setting"] = [hashlib.sha256(text.encode()).hexdigest()[:10] for text in setting]
    points = points[np.isfinite(points["value"])].drop_duplicates(["rid", "metric", "step"], keep="last")
    long = points.groupby(["rid", "metric"], observed=True)["step"].transform("size") >= LEAST_POINTS
    points = points[long]
    runs = runs[runs["rid"].isin(points["rid"])]
    kept = runs[runs["rid"].isin(_chosen(runs))]
    rows = points.merge(kept, on="rid").sort_values(["source", "workload", "setting", "rid", "metric", "step"])
    place = rows.groupby(["rid", "metric"], observed=True).cumcount()
    size = rows.groupby(["rid", "metric"], observed=True)["step"].transform("size")
    every = np.ceil(size / MOST_POINTS)
    rows = rows[((size - 1 - place) % every == 0) | (place == 0)]
    rows["seed"] = rows.groupby("setting")["rid"].transform(lambda rid: pd.factorize(rid)[0]).astype("int32")
    rows["curve_id"] = rows["setting"] + "/" + rows["seed"].astype(str)
    columns = ["source", "base", "workload", "setting", "curve_id", "seed", "hparams", "metric"]
    for name in columns:
        rows[name] = rows[name] if name == "seed" else rows[name].astype("str")
    table: pd.DataFrame = rows[[*columns, "step", "value"]].reset_index(drop=True)
    return table


def _base(workload: str) -> str:
    return next((base for base in BASES if workload == base or workload.startswith(f"{base}_")), workload)


def _chosen(runs: pd.DataFrame) -> pd.Series:
    """Runs that are kept: settings with `SEEDS` runs, in random order, one of each submission before a second one."""
    shuffled = runs.sample(frac=1.0, random_state=0)
    enough = shuffled.groupby("setting")["rid"].transform("size") >= SEEDS
    shuffled = shuffled[enough & (shuffled.groupby("setting").cumcount() < SEEDS)]
    settings = shuffled.drop_duplicates("setting")
    turn = settings.groupby(["task", "config"]).cumcount()
    ordered = settings.assign(turn=turn).sort_values("turn", kind="stable")
    most = ordered["source"].map(SETTINGS)
    chosen = ordered.loc[ordered.groupby("task").cumcount() < most, "setting"]
    return shuffled.loc[shuffled["setting"].isin(chosen), "rid"]


def main() -> None:
    """Parse, read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(os.environ.get("FORETELL_MIRROR") or "mirror").parent / "snapshots" / "training_curves"
    parser.add_argument("--curves", type=Path, default=beside, help="folder of runs.parquet and curves.parquet")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    rows = public_curves(options.curves)
    rows.to_parquet(options.out, index=False, compression="zstd", compression_level=19)
    summary = rows.groupby(["source", "base"]).agg(
        runs=("curve_id", "nunique"), settings=("setting", "nunique"), metrics=("metric", "nunique"),
        points=("value", "size"),
    )  # fmt: skip
    print(summary.to_string())
    print(f"{options.out}: {len(rows):,} rows, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
