"""Examples of the learning-curve family: beginnings of curves and where they ended, from LCDB and Pythia."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assets.sources import Sources
from predictors.errors import InvalidInputError

__all__ = [
    "DATASETS",
    "LCDB_CUTS",
    "LEAST_RUNS",
    "PYTHIA_CUTS",
    "examples_from_dataset",
    "examples_from_ladder",
    "examples_from_lcdb",
    "examples_from_pythia",
    "lcdb_split",
    "load_ladder_curves",
    "load_lcdb",
    "load_pythia",
    "usable_curves",
]

DATASETS = ("lcdb", "ladder", "pythia")
LCDB_CUTS = (0.1, 0.2, 0.4, 0.8)
"""Shares of the anchors that are observed."""
PYTHIA_CUTS = (33_000, 63_000, 113_000)
"""Checkpoints up to which a curve is observed."""
PYTHIA_FIRST, PYTHIA_LAST = 1_000, 143_000
"""Checkpoints before the first are the warm-up, at which scores are those of guessing."""
LADDER_CUTS = (3, 4, 5)
"""Of the seven checkpoints of a run of the model ladder, how many are observed."""
LEAST_ANCHORS = 8
LEAST_RUNS = 5
TRAIN_SHARE = 0.6
_FIXED: dict[str, Any] = {
    "replicate": 0, "is_censored": False, "is_capped": False, "repeat_prob": 1.0, "metric": "accuracy",
    "lower_bound": 0.0, "upper_bound": 1.0,
}  # fmt: skip


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """One row per curve and cut of a named set.

    Raises
    ------
    InvalidInputError
        If the set is not known.
    DatasetError
        If a file is missing.
    """
    if dataset == "lcdb":
        return examples_from_lcdb(load_lcdb(sources))
    if dataset == "ladder":
        return examples_from_ladder(load_ladder_curves(sources))
    if dataset == "pythia":
        return examples_from_pythia(load_pythia(sources))
    raise InvalidInputError(f"unknown data set {dataset!r}; learning_curves has {', '.join(DATASETS)}")


def load_lcdb(sources: Sources) -> pd.DataFrame:
    """The committed means over seeds, see `assets.readers.lcdb.load_mean_curves`."""
    from assets.readers.lcdb import load_mean_curves

    return load_mean_curves(sources.starter / "lcdb")


def load_pythia(sources: Sources) -> pd.DataFrame:
    """Pythia's checkpoints as `LearningCurves`, fetched or from the mirror."""
    from assets.catalog import fetch
    from assets.readers.pythia_evals import load_pythia_curves

    files: Sequence[Path] = fetch("pythia-evals", cache=sources.cache, mirror=sources.mirror)
    return load_pythia_curves(files)


def load_ladder_curves(sources: Sources) -> pd.DataFrame:
    """The committed model ladder's checkpoints as `LearningCurves`, with the `skill` of each task.

    A curve is a task of one trained model; its budget counts training tokens, its value is the mean exact pass rate.
    """
    from assets.ladder import load_ladder
    from predictors.schemas.learning_curves import LearningCurves

    tables = load_ladder(sources.starter)
    rows = tables.checkpoints[tables.checkpoints["level"] == 0]
    task, model = rows["benchmark"].astype("str"), rows["model"].astype("str")
    curves = pd.DataFrame({
        "curve_id": task + "/" + model, "dataset": task, "learner": model, "resource": "training",
        "resource_unit": "tokens", "step": rows["n_train_tokens"].astype("float64"),
        "seed": rows["seed"].astype("Int64"), "metric": "exact pass rate", "value": rows["score"].astype("float64"),
        "higher_is_better": True, "standard_error": rows["score_se"].astype("float64"),
    })  # fmt: skip
    skills = tables.tasks.assign(benchmark=tables.tasks["benchmark"].astype("str")).drop_duplicates("benchmark")
    curves = LearningCurves.validate(curves, lazy=True)
    return curves.assign(skill=task.map(skills.set_index("benchmark")["skill"].astype("str")))


def lcdb_split(datasets: pd.Series) -> pd.Series:
    """``train`` or ``test`` for every row: 60 % of the data sets, drawn as in the reference measurements (seed 0)."""
    numbers = datasets.astype("int64")
    names = np.sort(numbers.unique())
    train = np.random.default_rng(0).permutation(names)[: int(TRAIN_SHARE * len(names))]
    return pd.Series(np.where(numbers.isin(train), "train", "test"), index=datasets.index, dtype="str")


def usable_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Anchors with five runs or more, of curves that have eight such anchors or more."""
    kept = table[table["n"] >= LEAST_RUNS].sort_values(["dataset", "learner", "step"], ignore_index=True)
    return kept[kept.groupby(["dataset", "learner"])["step"].transform("size") >= LEAST_ANCHORS]


def examples_from_lcdb(table: pd.DataFrame) -> pd.DataFrame:
    """One row per curve and cut: the first anchors as inputs, the mean accuracy at the last one as `value`.

    `query_id` is the data set. `standard_errors` of the inputs count runs as independent; `standard_error` of the
    outcome respects the outer splits, between which a share of the variance lies.
    """
    rows = []
    for (dataset, learner), part in usable_curves(table).groupby(["dataset", "learner"]):
        columns = {name: part[name].to_numpy(dtype=np.float64) for name in ("step", "value", "train_value", "sd", "n")}
        error = columns["sd"] / np.sqrt(columns["n"])
        last = part.iloc[-1]
        split_error = last["split_sd"] / np.sqrt(last["n_splits"])
        for cut in LCDB_CUTS:
            k = max(2, round(cut * len(part)))
            rows.append({
                "cell_id": f"{dataset}/{learner}/{cut:.0%}", "query_id": str(dataset), "value": last["value"],
                "standard_error": error[-1] if np.isnan(split_error) else split_error, "cut": f"{cut:.0%}",
                "dataset": str(dataset), "learner": str(learner), "steps": columns["step"][:k].tolist(),
                "values": columns["value"][:k].tolist(), "standard_errors": error[:k].tolist(),
                "train_values": columns["train_value"][:k].tolist(), "target_step": float(last["step"]),
            })  # fmt: skip
    out = pd.DataFrame(rows)
    return out.assign(split=lcdb_split(out["dataset"]), resource_unit="items", **_FIXED)


def examples_from_pythia(table: pd.DataFrame) -> pd.DataFrame:
    """One row per task, model and cut: checkpoints from 1,000 on as inputs, the score at 143,000 as `value`.

    `query_id` is the task; every row is in the split ``test``, since forecasts are made with each task left out.
    """
    rows = []
    for (task, model), part in table.groupby(["dataset", "learner"]):
        ordered = part[part["step"] >= PYTHIA_FIRST].sort_values("step")
        end = ordered[ordered["step"] == PYTHIA_LAST]
        if end.empty:
            continue
        for cut in PYTHIA_CUTS:
            seen = ordered[ordered["step"] <= cut]
            rows.append({
                "cell_id": f"{task}/{model}/{cut}", "query_id": str(task), "value": float(end["value"].iloc[0]),
                "standard_error": float(end["standard_error"].iloc[0]), "cut": str(cut), "dataset": str(task),
                "learner": str(model), "steps": seen["step"].tolist(), "values": seen["value"].tolist(),
                "standard_errors": seen["standard_error"].tolist(), "target_step": float(PYTHIA_LAST),
                "jitter": late_jitter(ordered["step"].to_numpy(), ordered["value"].to_numpy()),
            })  # fmt: skip
    return pd.DataFrame(rows).assign(split="test", resource_unit="steps", **_FIXED)


def examples_from_ladder(table: pd.DataFrame) -> pd.DataFrame:
    """One row per task, model and cut: the first checkpoints as inputs, the score at the end of training as `value`.

    `query_id` is the skill, since tasks of one skill resemble each other; every row is in the split ``test``, since
    forecasts are made with each skill left out. `standard_error` is that of the items.
    """
    rows = []
    for (task, model), part in table.groupby(["dataset", "learner"]):
        ordered = part.sort_values("step")
        end = ordered.iloc[-1]
        for cut in LADDER_CUTS:
            seen = ordered.head(cut)
            rows.append({
                "cell_id": f"{task}/{model}/{cut}", "query_id": str(end["skill"]), "value": float(end["value"]),
                "standard_error": float(end["standard_error"]), "cut": f"{cut} of {len(ordered)}",
                "dataset": str(task), "learner": str(model), "steps": seen["step"].tolist(),
                "values": seen["value"].tolist(), "standard_errors": seen["standard_error"].tolist(),
                "target_step": float(end["step"]),
            })  # fmt: skip
    return pd.DataFrame(rows).assign(split="test", resource_unit="tokens", **_FIXED)


def late_jitter(steps: np.ndarray, values: np.ndarray, *, start: float = 63_000) -> float:
    """Standard deviation of the checkpoints from `start` on around their straight line; NaN for fewer than four."""
    late = steps >= start
    n = int(late.sum())
    if n < 4:
        return float("nan")
    x, y = steps[late], values[late]
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt((residual**2).sum() / (n - 2)))
