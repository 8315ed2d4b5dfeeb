"""Observational scaling: benchmark scores of about 150 public base models beside their training compute.

`eval_results/*.csv` of ryoungj/ObsScaling (Apache-2.0; Ruan, Maddison & Hashimoto 2024, arXiv 2405.10938): one row per
model. Scores are shares (0-1); compute is in 1e21 FLOPs; no standard errors, no repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.predictors.errors import DatasetError

OBS_TASKS: dict[str, tuple[float, float]] = {
    "MMLU": (25.0, 14_042), "ARC-C": (25.0, 1_172), "HellaSwag": (25.0, 10_042), "Winograd": (50.0, 1_267),
    "TruthfulQA": (0.0, 817), "GSM8K": (0.0, 1_319), "XWinograd": (50.0, 2_325), "HumanEval": (0.0, 164),
    "parsinlu_qa_2_acc": (25.0, 1_050), "word_unscrambling_2_exact_match": (0.0, 8_917),
    "ipa_transliterate_2_exact_match": (0.0, 1_003), "arithmetic_3ds_2_acc": (0.0, 2_000),
    "arithmetic_3da_2_acc": (0.0, 2_000), "arithmetic_2dm_2_acc": (0.0, 2_000), "arithmetic_2da_2_acc": (0.0, 2_000),
}  # fmt: skip
"""Task -> (score of a guess in points, number of items)."""
_FILES = ("base_llm_benchmark_eval.csv", "base_llm_emergent_capability_eval.csv")
_KEYS = {"Model": "model", "Model Family": "model_family", "Model Size (B)": "n_params",
         "Pretraining Data Size (T)": "n_train_tokens", "FLOPs (1E21)": "train_flops"}  # fmt: skip


def load_obs_scores_wide(paths: Iterable[Path]) -> pd.DataFrame:
    """One row per model: family, size, tokens, compute and a column per task in points.

    Raises
    ------
    DatasetError
        If one of the two files is missing or lacks a column.
    """
    found = {path.name: path for path in paths}
    missing = sorted(set(_FILES) - set(found))
    if missing:
        raise DatasetError(f"the files {missing} of obs-scaling are missing: `foretell fetch obs-scaling`")
    base, emergent = (_read(found[name]) for name in _FILES)
    absent = sorted(set(_KEYS) - set(base.columns))
    if absent:
        raise DatasetError(f"{found[_FILES[0]]}: line 1 lacks the columns {absent}; fetch the file again")
    wide = base.rename(columns=_KEYS).merge(emergent.rename(columns=_KEYS), on="model", how="left", validate="1:1")
    wide["n_params"] *= 1e9
    wide["n_train_tokens"] *= 1e12
    wide["train_flops"] *= 1e21
    tasks = [name for name in OBS_TASKS if name in wide]
    wide[tasks] *= 100.0
    kept: pd.DataFrame = wide[["model", "model_family", "n_params", "n_train_tokens", "train_flops", *tasks]]
    return kept


def load_obs_scaling(paths: Iterable[Path]) -> pd.DataFrame:
    """One row per model of known compute and task: `load_obs_scores_wide`, long.

    Returns
    -------
    DataFrame
        ``model``, ``model_family``, ``n_params``, ``n_train_tokens``, ``train_flops``, ``benchmark`` and ``score``
        (points).
    """
    wide = load_obs_scores_wide(paths)
    keys = ["model", "model_family", "n_params", "n_train_tokens", "train_flops"]
    long = wide.melt(id_vars=keys, var_name="benchmark", value_name="score")
    known = np.isfinite(long["train_flops"]) & np.isfinite(long["score"])
    return pd.DataFrame(long[known].reset_index(drop=True))


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not readable as CSV ({error})") from error
    if "Model" not in table:
        raise DatasetError(f"{path}: line 1 lacks the column 'Model'; fetch the file again")
    return table
