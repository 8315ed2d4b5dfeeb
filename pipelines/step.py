"""One step of the DVC pipeline: ``python -m foretell.pipelines.step STEP FAMILY``; dvc.yaml says in which order.

Every step calls the function that the Dagster asset of the same purpose calls; only where the tables lie differs:
DVC owns the folder `data/dvc`, so that each table is an output it can version. params.yaml says which data set and
which parameters a family runs with; ``dvc exp run -S`` changes them.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from foretell.assets.families import get_family
from foretell.assets.judging.pipeline import fit_family, load_fit, main_segments, save_fit
from foretell.assets.judging.splits import evaluate_family
from foretell.assets.store.io import write_table
from foretell.pipelines.settings import Settings, quiet_environment
from foretell.predictors.errors import ForecastError, InvalidInputError
from foretell.predictors.families import FAMILIES

METRICS = ("crps", "mae", "coverage_90")


def curate(settings: Settings, family: str, folder: Path) -> None:
    """Raw data -> ``examples.parquet``, one row per outcome to learn from or be judged on."""
    examples = get_family(family).examples(_dataset(family), settings.sources)
    write_table(examples, folder / "examples.parquet")


def train(settings: Settings, family: str, folder: Path) -> None:
    """Examples -> ``model``, the fitted predictor with its baselines."""
    chosen = get_family(family)
    chosen = replace(chosen, predictor=partial(chosen.predictor, **(_content().get(family) or {})))
    save_fit(fit_family(chosen, pd.read_parquet(folder / "examples.parquet")), folder / "model")


def evaluate(settings: Settings, family: str, folder: Path) -> None:
    """Examples and model -> ``evaluation.parquet``, its headline as DVC metrics and its segments as a plot."""
    examples = pd.read_parquet(folder / "examples.parquet")
    fitted = load_fit(folder / "model")
    chosen = get_family(family)
    table = evaluate_family(chosen, fitted, examples, dataset=_dataset(family), leave_out_vault=False)
    write_table(table, folder / "evaluation.parquet")
    rows = table[(table["predictor"] == type(fitted.predictor).__name__) & (table["split"] == chosen.held_out)]
    head = rows[(rows["segment"] == "all") & rows["metric"].isin(METRICS)].set_index("metric")
    columns = {"value": "error", "noise_floor": "floor", "excess_error": "excess", "skill": "skill"}
    numbers = head[list(columns)].astype("float64").rename(columns=columns).round(6)
    metrics = {metric: row.dropna().to_dict() for metric, row in numbers.iterrows()}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
    errors = rows[main_segments(rows) & (rows["metric"] == METRICS[0])]
    errors[["segment", "value", "noise_floor", "baseline_value"]].to_csv(folder / "errors.csv", index=False)


def _dataset(family: str) -> str:
    return str(_content()["families"][family]["dataset"])


def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    return content


STEPS: dict[str, Callable[[Settings, str, Path], None]] = {"curate": curate, "train": train, "evaluate": evaluate}


def main() -> None:
    """Run one step; an expected error is one line and exit code 2."""
    parser = argparse.ArgumentParser(description="One step of the DVC pipeline.")
    parser.add_argument("step", choices=sorted(STEPS))
    parser.add_argument("family", choices=list(FAMILIES))
    parser.add_argument("--root", type=Path, default=Path("data/dvc"))
    args = parser.parse_args()
    settings = Settings()
    quiet_environment(settings)
    folder = args.root / args.family
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if args.family not in _content()["families"]:
            raise InvalidInputError(f"params.yaml names no data set of {args.family!r} under `families`")
        STEPS[args.step](settings, args.family, folder)
    except ForecastError as error:
        sys.stderr.write(f"{args.step} {args.family}: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
