"""Pythia's evaluations as ladders: scores of the last checkpoints of every size.

`evals/pythia-v1/pythia-<size>[-deduped]/{zero,five}-shot/*_step<N>.json` of EleutherAI/pythia (Apache-2.0; Biderman et
al. 2023), written by lm-eval: per task accuracy with its standard error. Read are the checkpoints from `FIRST_STEP`
on, of the tasks in `PYTHIA_TASKS` and the mean over the 57 subjects of MMLU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.collect.public_ladder_sets.pythia_arithmetic import PYTHIA_PARAMS, PYTHIA_TOKENS_PER_STEP
from foretell.predictors.errors import DatasetError

PYTHIA_TASKS: dict[str, tuple[float, int]] = {
    "lambada_openai": (0.0, 5_153), "sciq": (25.0, 1_000), "arc_easy": (25.0, 2_376), "arc_challenge": (25.0, 1_172),
    "piqa": (50.0, 1_838), "winogrande": (50.0, 1_267), "logiqa": (25.0, 651), "wsc": (50.0, 104),
    "mmlu": (25.0, 14_042),
}  # fmt: skip
"""Task -> (score of a guess in points, number of items)."""
FIRST_STEP = 100_000
LAST_STEP = 143_000
_PATH = re.compile(r"pythia-v1/(pythia-([\d.]+[mb])(?:-bf16)?(-deduped)?)/(zero|five)-shot/[^/]*_step(\d+)\.json$")


def load_pythia_ladders(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the late checkpoints, one row per model, number of shots, checkpoint and task.

    Returns
    -------
    DataFrame
        ``model``, ``model_family`` (``deduped`` or ``standard``), ``n_shot``, ``step``, ``is_final``, ``n_params``,
        ``n_train_tokens``, ``train_flops``, ``benchmark``, ``score`` and ``standard_error`` (points).

    Raises
    ------
    DatasetError
        If no file is one of these, or one is not readable; says which.
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        match = _PATH.search(path.as_posix())
        if match is None or int(match[5]) < FIRST_STEP:
            continue
        params, tokens = PYTHIA_PARAMS[match[2]], int(match[5]) * PYTHIA_TOKENS_PER_STEP
        keys = {
            "model": match[2], "model_family": "deduped" if match[3] else "standard",
            "n_shot": 0 if match[4] == "zero" else 5, "step": int(match[5]), "is_final": int(match[5]) == LAST_STEP,
            "n_params": params, "n_train_tokens": tokens, "train_flops": 6.0 * params * tokens,
        }  # fmt: skip
        rows += [{**keys, **score} for score in _scores(path)]
    if not rows:
        raise DatasetError("no late checkpoint of pythia-evals given: `foretell fetch pythia-evals`")
    table = pd.DataFrame(rows)
    keys_in_order = ["model_family", "n_shot", "benchmark", "n_params", "step"]
    return table.drop_duplicates(keys_in_order).sort_values(keys_in_order, kind="stable", ignore_index=True)


def _scores(path: Path) -> list[dict[str, Any]]:
    try:
        results: Mapping[str, Mapping[str, float]] = json.loads(path.read_text("utf-8"))["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a result file of lm-eval ({error}); fetch it again") from error
    found = [
        {"benchmark": task, "score": 100 * results[task]["acc"], "standard_error": 100 * results[task]["acc_stderr"]}
        for task in PYTHIA_TASKS
        if task in results and "acc" in results[task]
    ]
    subjects = [result for task, result in results.items() if task.startswith("hendrycksTest-") and "acc" in result]
    if subjects:
        n = len(subjects)
        combined = sum(s["acc_stderr"] ** 2 for s in subjects) ** 0.5 / n
        found.append(
            {"benchmark": "mmlu", "score": 100 * sum(s["acc"] for s in subjects) / n, "standard_error": 100 * combined}
        )
    return found
