"""OLMo's model ladder: losses and task accuracies of 24 small runs, and of the 7B and 13B that they were to predict.

`src/scripts/paper/data/ladder-runs/*.csv` of allenai/OLMo-ladder (Apache-2.0; Bhagia et al. 2024, arXiv 2412.04403):
one row per evaluated step, per task ``bits per byte`` of the right answer and accuracy (ranked classification,
5 shots). Sizes 190M-3B with 0.5-10 times 20 tokens per parameter; 190M, 370M, 760M, 1B and 3B were rerun once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.predictors.errors import DatasetError

_MMLU = ("mmlu_stem_test", "mmlu_humanities_test", "mmlu_social_sciences_test", "mmlu_other_test")
_MMLU_WEIGHTS = (0.2151, 0.3352, 0.2191, 0.2306)
OLMO_TASKS: dict[str, tuple[tuple[str, ...], float, int]] = {
    "mmlu": (_MMLU, 25.0, 14_042),
    "hellaswag": (("hellaswag_val",), 25.0, 10_042),
    "arc_challenge": (("arc_challenge_test",), 25.0, 1_172),
    "arc_easy": (("arc_easy_test",), 25.0, 2_376),
    "piqa": (("piqa_val",), 50.0, 1_838),
    "csqa": (("csqa_val",), 20.0, 1_221),
    "socialiqa": (("socialiqa_val",), 100 / 3, 1_954),
    "openbookqa": (("openbookqa_test",), 25.0, 500),
}
"""Task -> (column parts that are averaged, score of a guess in points, number of items)."""
_PARAMS = {"190M": 190_354_176.0, "370M": 371_262_464.0, "760M": 758_220_288.0, "1B": 1_279_395_840.0,
           "3B": 3_169_537_280.0, "7B": 6_887_575_552.0, "13B": 13_202_396_160.0}  # fmt: skip
_FLOPS_PER_TOKEN = {"190M": 1_903_391_232.0, "370M": 3_443_922_944.0, "760M": 6_373_843_968.0, "1B": 10_109_071_360.0,
                    "3B": 22_970_355_200.0, "7B": 49_412_071_424.0, "13B": 91_335_915_520.0}  # fmt: skip
OLMO_TARGETS = {"peteish7_eval_anneal": "7B", "peteish13_eval_final": "13B"}
"""File of each target -> its size."""
LAST_STEPS = 5
"""Evaluations at the end of a run that its figures are the mean of, as in the paper."""


def load_olmo_ladder(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the runs, one row per run, task and evaluated step, and one (``is_final``) for the end of each run.

    Returns
    -------
    DataFrame
        ``run``, ``model`` (size), ``tokens_per_param`` (name of the budget, such as ``5xC``), ``is_rerun``,
        ``benchmark``, ``n_params``, ``n_train_tokens``, ``train_flops``, ``score`` (accuracy in points), ``loss`` (bits
        per byte of the right answer), ``checkpoint_error`` (standard deviation of the last `LAST_STEPS` scores,
        points), ``is_final``.

    Raises
    ------
    DatasetError
        If a file lacks a column, or no run is there.
    """
    parts = []
    for path in paths:
        size, budget, is_rerun = _name(path)
        if size:
            parts.append(_read(path, size).assign(tokens_per_param=budget, is_rerun=is_rerun))
    if not parts:
        raise DatasetError("no run of olmo-ladder given: `foretell fetch olmo-ladder`")
    return pd.concat(parts, ignore_index=True)


def _name(path: Path) -> tuple[str, str, bool]:
    if path.suffix != ".csv" or path.parent.name != "ladder-runs":
        return "", "", False
    if path.stem in OLMO_TARGETS:
        return OLMO_TARGETS[path.stem], "", False
    size, _, budget = path.stem.partition("-")
    return (size if size in _PARAMS else ""), budget.removesuffix("-rerun"), budget.endswith("-rerun")


def _read(path: Path, size: str) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not readable as CSV ({error})") from error
    tokens = _tokens(raw, path)
    order = np.argsort(tokens, kind="stable")
    parts = []
    for task, (names, _, _) in OLMO_TASKS.items():
        score = 100.0 * _average(raw, [f"eval/downstream/{n}_rc_5shot_len_norm" for n in names], path)[order]
        loss = _average(raw, [f"eval/downstream_bpb/{n}_rc_5shot_bpb" for n in names], path)[order]
        end = slice(-LAST_STEPS, None)
        sd = float(np.std(score[end], ddof=1)) if len(score) >= LAST_STEPS else float("nan")
        parts.append(pd.DataFrame({
            "benchmark": task, "n_train_tokens": np.r_[tokens[order], tokens.max()],
            "score": np.r_[score, score[end].mean()], "loss": np.r_[loss, loss[end].mean()],
            "checkpoint_error": np.r_[np.full(len(score), np.nan), sd],
            "is_final": np.r_[np.zeros(len(score), dtype=bool), True],
        }))  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    flops = _FLOPS_PER_TOKEN[size] * table["n_train_tokens"]
    return table.assign(run=path.stem, model=size, n_params=_PARAMS[size], train_flops=flops)


def _tokens(raw: pd.DataFrame, path: Path) -> np.ndarray:
    if "throughput/total_tokens" in raw:
        return np.asarray(raw["throughput/total_tokens"], dtype=np.float64)
    missing = sorted({"_step", "batch_size_in_tokens"} - set(raw.columns))
    if missing:
        raise DatasetError(f"{path}: line 1 lacks the columns {missing}; fetch the file again")
    steps, batch = (raw[name].to_numpy(dtype=np.float64) for name in ("_step", "batch_size_in_tokens"))
    return np.asarray(steps * batch)


def _average(raw: pd.DataFrame, columns: list[str], path: Path) -> np.ndarray:
    missing = sorted(set(columns) - set(raw.columns))
    if missing:
        raise DatasetError(f"{path}: line 1 lacks the columns {missing}; fetch the file again")
    values = raw[columns].to_numpy(dtype=np.float64)
    weights = np.array(_MMLU_WEIGHTS) if len(columns) > 1 else np.ones(1)
    return np.asarray(values @ weights / weights.sum())
