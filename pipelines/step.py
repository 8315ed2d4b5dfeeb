"""One step of the DVC pipeline: ``python -m pipelines.step NAME``; dvc.yaml says in which order.

Every step calls the function that the Dagster asset of the same name calls; only where the tables
lie differs: DVC owns the folder `data/dvc`, so that each table is an output it can version.
"""

from __future__ import annotations

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

from pipelines.settings import PROJECT_ROOT, Settings, quiet_environment
from predictors.errors import ForecastError

METRICS = ("crps", "mae", "coverage_90")


def curate(settings: Settings, dataset: str, root: Path) -> None:
    """Raw files -> validated, priced `request_traces` and `quarantine`."""
    from assets.datasets import load_traces
    from assets.io import write_table
    from predictors.thinking_tokens.cost import price_requests

    curated = load_traces(
        dataset,
        starter=settings.starter_traces,
        cache=settings.cache,
        mirror=settings.mirror,
        price=partial(price_requests, price_file=settings.price_file),
    )
    write_table(curated.traces, root / "request_traces.parquet")
    write_table(curated.quarantine, root / "quarantine.parquet")


def train(settings: Settings, dataset: str, root: Path) -> None:
    """`request_traces` -> examples and the fitted predictor with its baselines."""
    from assets.family import fit_family, save_fit
    from assets.io import write_table
    from assets.thinking_tokens import PIPELINE, examples_from_traces

    examples = examples_from_traces(pd.read_parquet(root / "request_traces.parquet"))
    write_table(examples, root / "thinking_tokens_examples.parquet")
    pipeline = replace(PIPELINE, predictor=partial(PIPELINE.predictor, **_params("thinking_tokens")))
    save_fit(fit_family(pipeline, examples), root / "thinking_tokens_model")


def evaluate(settings: Settings, dataset: str, root: Path) -> None:
    """Examples and model -> the Evaluation table, and its headline as DVC metrics."""
    from assets.family import evaluate_family, load_fit
    from assets.io import write_table
    from assets.thinking_tokens import PIPELINE

    examples = pd.read_parquet(root / "thinking_tokens_examples.parquet")
    table = evaluate_family(PIPELINE, load_fit(root / "thinking_tokens_model"), examples, dataset=dataset)
    write_table(table, root / "thinking_tokens_evaluation.parquet")
    head = table[(table["segment"] == "all") & (table["split"] == "test") & table["metric"].isin(METRICS)]
    head = head[head["predictor"] == head["predictor"].iloc[0]].set_index("metric")
    columns = {"error": "value", "floor": "noise_floor", "excess": "excess_error", "skill": "skill"}
    metrics = {
        metric: {
            name: round(float(head.loc[metric, column]), 6)
            for name, column in columns.items()
            if pd.notna(head.loc[metric, column])
        }
        for metric in head.index
    }
    (root / "metrics.json").write_text(json.dumps({"thinking_tokens": metrics}, indent=1) + "\n", "utf-8")


def _params(family: str) -> dict[str, Any]:
    """Constructor arguments from params.yaml, which `dvc exp run -S` changes."""
    content = yaml.safe_load((PROJECT_ROOT / "params.yaml").read_text("utf-8"))
    return dict(content.get(family) or {})


STEPS: dict[str, Callable[[Settings, str, Path], None]] = {"curate": curate, "train": train, "evaluate": evaluate}


def main() -> None:
    """Run one step; an expected error is one line and exit code 2."""
    parser = argparse.ArgumentParser(description="One step of the DVC pipeline.")
    parser.add_argument("step", choices=sorted(STEPS))
    parser.add_argument("--dataset", default="starter")
    parser.add_argument("--root", type=Path, default=Path("data/dvc"))
    args = parser.parse_args()
    settings = Settings()
    quiet_environment(settings)
    args.root.mkdir(parents=True, exist_ok=True)
    try:
        STEPS[args.step](settings, args.dataset, args.root)
    except ForecastError as error:
        sys.stderr.write(f"{args.step}: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
