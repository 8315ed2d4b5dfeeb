"""Pythia's evaluations as learning curves: the accuracy of 16 models on 8 tasks over 27 checkpoints.

`evals/pythia-v1/pythia-<size>[-deduped]/zero-shot/*_step<N>.json` of EleutherAI/pythia (Apache-2.0; Biderman et
al. 2023, Pythia: A Suite for Analyzing Large Language Models Across Training and Scaling), written by lm-eval: per
task ``acc`` with its standard error over items. The items are the same at every checkpoint, so errors of neighbouring
checkpoints are correlated and the standard error overstates how much a curve jitters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.learning_curves import LearningCurves

PYTHIA_CURVE_TASKS: tuple[str, ...] = (
    "arc_challenge", "arc_easy", "lambada_openai", "logiqa", "piqa", "sciq", "winogrande", "wsc",
)  # fmt: skip
_PATH = re.compile(r"pythia-v1/pythia-([\d.]+[mb])(?:-bf16)?(-deduped)?/zero-shot/[^/]*_step(\d+)\.json$")


def load_pythia_curves(paths: Iterable[Path]) -> pd.DataFrame:
    """Read zero-shot accuracies over checkpoints.

    Parameters
    ----------
    paths : iterable of Path
        Files of the catalogue's entry ``pythia-evals``; others of that entry are passed over.

    Returns
    -------
    DataFrame
        Valid under `LearningCurves`: `dataset` is the task, `learner` the model, `step` the optimiser step.

    Raises
    ------
    DatasetError
        If no file is one of these, or one cannot be read; says which.
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        match = _PATH.search(path.as_posix())
        if match is None:
            continue
        model = f"pythia-{match[1]}{match[2] or ''}"
        try:
            results = json.loads(path.read_text("utf-8"))["results"]
            found = [
                (task, float(results[task]["acc"]), results[task].get("acc_stderr")) for task in PYTHIA_CURVE_TASKS
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: not an evaluation of a Pythia checkpoint ({error}); fetch it again") from error
        rows += [
            {"curve_id": f"pythia/{task}/{model}", "dataset": task, "learner": model, "step": float(match[3]),
             "value": score, "standard_error": error}
            for task, score, error in found
        ]  # fmt: skip
    if not rows:
        raise DatasetError("no zero-shot evaluation of a Pythia checkpoint among the files: fetch `pythia-evals`")
    table = pd.DataFrame(rows).drop_duplicates(["curve_id", "step"]).sort_values(["curve_id", "step"])
    constant: dict[str, Any] = {
        "resource": "training", "resource_unit": "steps", "metric": "accuracy", "higher_is_better": True,
    }  # fmt: skip
    table = table.assign(**constant, seed=pd.array([pd.NA] * len(table), dtype="Int64"))
    columns = list(LearningCurves.to_schema().columns)
    return LearningCurves.validate(table[columns].reset_index(drop=True), lazy=True)
