"""Pythia on arithmetic: accuracy per operand of 7 sizes, 6 checkpoints and 5 numbers of shots.

`evals/csv/pythia-<size>-deduped/term_frquency_all_shots.csv` of EleutherAI/pythia (Apache-2.0; Biderman et al. 2023):
``model,checkpoint,task,fewshot,acc,acc_stderr``, 42,000 rows in 7 files. A task is an operation and an operand
(0-99); its accuracy is over 50 problems. Models carry the names they had before January 2023 (``13b`` is today's 12B).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from foretell.predictors.errors import DatasetError

N_DRAWS = 50
"""Problems behind each accuracy."""
PYTHIA_TOKENS_PER_STEP = 2_097_152.0
PYTHIA_PARAMS = {
    "70m": 70_426_624.0, "160m": 162_322_944.0, "410m": 405_334_016.0, "1b": 1_011_781_632.0, "1.4b": 1_414_647_808.0,
    "2.8b": 2_775_208_960.0, "6.9b": 6_857_302_016.0, "12b": 11_846_072_320.0,
}  # fmt: skip
"""All parameters of each size, from the suite's README."""
_TODAY = {"125m": "160m", "350m": "410m", "800m": "1b", "1.3b": "1.4b", "2.7b": "2.8b", "6.7b": "6.9b", "13b": "12b"}
_COLUMNS = ["model", "checkpoint", "task", "fewshot", "acc", "acc_stderr"]
_TASK = r"^num_reasoning_arithmetic_(?P<operation>addition|multiplication)_(?P<operand>\d+)$"


def load_pythia_arithmetic(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the files, one row per size, checkpoint, shots, operation and operand.

    Returns
    -------
    DataFrame
        ``model`` (today's size), ``n_params``, ``n_train_tokens``, ``train_flops`` (6 N D), ``step``, ``n_shot``,
        ``operation``, ``item_id`` (the operand), ``pass_rate`` (0-1, of `N_DRAWS` problems).

    Raises
    ------
    DatasetError
        If there is no file of this kind, or one is not what it should be; says which and where.
    """
    files = [path for path in paths if path.suffix == ".csv"]
    if not files:
        raise DatasetError("no CSV file of pythia-arithmetic given: `foretell fetch pythia-arithmetic`")
    table = pd.concat([_read(path) for path in files], ignore_index=True)
    return table.sort_values(["operation", "n_shot", "n_params", "step", "item_id"], kind="stable", ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not readable as CSV ({error})") from error
    missing = sorted(set(_COLUMNS) - set(raw.columns))
    if missing:
        raise DatasetError(f"{path}: line 1 lacks the columns {missing}; fetch the file again")
    task = raw["task"].str.extract(_TASK)
    size = raw["model"].str.extract(r"pythia-([\d.]+[mb])-deduped$")[0].map(_TODAY)
    accuracy = pd.to_numeric(raw["acc"], errors="coerce")
    bad = task.isna().any(axis=1) | size.isna() | ~accuracy.between(0, 1)
    if bad.any():
        at = int(bad.to_numpy().argmax())
        raise DatasetError(
            f"{path}: line {at + 2}: model {raw['model'][at]!r}, task {raw['task'][at]!r}, acc {raw['acc'][at]!r} "
            "is no accuracy of an arithmetic task; fetch the file again"
        )
    params = size.map(PYTHIA_PARAMS)
    tokens = raw["checkpoint"].astype("float64") * PYTHIA_TOKENS_PER_STEP
    return pd.DataFrame({
        "model": size, "n_params": params, "n_train_tokens": tokens, "train_flops": 6.0 * params * tokens,
        "step": raw["checkpoint"].astype("int64"), "n_shot": raw["fewshot"].astype("int64"),
        "operation": task["operation"], "item_id": task["operand"].astype("int64"), "pass_rate": accuracy,
    })  # fmt: skip
