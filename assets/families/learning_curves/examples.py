"""Examples of the learning-curve family: beginnings of curves and where they ended."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.judging.family import LAKE
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.store.sources import Sources, read_public
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.splits import assign_split

TRAINING_RUNS = "training-runs"
PUBLIC = "lcdb+training-runs"
"""What a registered fit learns from: curves over training set sizes, and runs that go on."""
DATASETS = ("lcdb", "ladder", TRAINING_RUNS, PUBLIC, LAKE)
LCDB_CUTS = (0.1, 0.2, 0.4, 0.8)
"""Shares of the anchors that are observed."""
LADDER_CUTS = (3, 4, 5)
"""Of the seven checkpoints of a run of the model ladder, how many are observed."""
RUN_CUTS = (0.2, 0.4, 0.6, 0.8)
"""Shares of a run's own logged points that are observed."""
LEAST_ANCHORS = 8
LEAST_RUNS = 5
LEAST_POINTS = 5
MOST_ANCHORS = 50
TRAIN_SHARE = 0.6
LEAST_SEEDS = 3
HELD_OUT = frozenset({"imagenet_vit"})
"""Workload that a registered fit is judged on; `evaluation.run_splits` leaves out each in turn."""
_TOP = {"accuracy": 1.0, "bleu": 100.0, "precision": 1.0, "ssim": 1.0}
"""Upper bound of a metric by the end of its name."""
LISTS = ("steps", "values", "standard_errors", "sibling_learners", "sibling_steps", "sibling_values")
"""Columns that hold a list in every row."""
_OUTCOME: dict[str, Any] = {
    "replicate": 0, "started_at": pd.NaT, "is_censored": False, "is_capped": False, "repeat_prob": 1.0,
}  # fmt: skip
_FIXED: dict[str, Any] = {**_OUTCOME, "metric": "accuracy", "lower_bound": 0.0, "upper_bound": 1.0}


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """One row per curve and cut of a named set.

    Raises
    ------
    InvalidInputError
        If the set is not known.
    DatasetError
        If a file is missing.
    """
    makers = {
        "lcdb": lambda: examples_from_lcdb(load_lcdb(sources)),
        "ladder": lambda: examples_from_ladder(load_ladder_curves(sources)),
        LAKE: lambda: examples_from_lake(TABLES["training_curves"].read(sources.home / "lake")),
        TRAINING_RUNS: lambda: examples_from_runs(read_public(sources.public, "training_curves")),
        PUBLIC: lambda: pd.concat(
            [examples_from_dataset(name, sources) for name in ("lcdb", TRAINING_RUNS)], ignore_index=True
        ),
    }
    if dataset not in makers:
        raise InvalidInputError(f"unknown data set {dataset!r}; learning_curves has {', '.join(DATASETS)}")
    return makers[dataset]()


def load_lcdb(sources: Sources) -> pd.DataFrame:
    """The committed means over seeds, see `foretell.assets.readers.curves.lcdb.load_mean_curves`."""
    from foretell.assets.readers.curves.lcdb import load_mean_curves

    return load_mean_curves(sources.starter / "lcdb")


def load_ladder_curves(sources: Sources) -> pd.DataFrame:
    """The committed model ladder's checkpoints: dataset (the task), learner (the model), skill, step, value and its
    standard_error. The budget counts training tokens, the value is the mean exact pass rate."""
    from foretell.assets.families.downstream_scaling.ladder import load_ladder

    tables = load_ladder(sources.starter)
    skills = tables["tasks"].astype({"benchmark": "str", "skill": "str"}).drop_duplicates("benchmark")
    rows = tables["checkpoints"].astype({"benchmark": "str", "model": "str"})
    rows = rows[rows["level"] == 0].merge(skills[["benchmark", "skill"]], on="benchmark", validate="m:1")
    names = {
        "benchmark": "dataset", "model": "learner", "skill": "skill", "n_train_tokens": "step", "score": "value",
        "score_se": "standard_error",
    }  # fmt: skip
    curves = rows[list(names)].rename(columns=names)
    return curves.astype(dict.fromkeys(("step", "value", "standard_error"), "float64"))


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


def _beginnings(
    curve: str, cuts: Sequence[float], shared: Mapping[str, object], **seen: NDArray[np.float64] | pd.Series
) -> list[dict[str, Any]]:
    """What a curve `shared` by all its examples shows by each of `cuts`, shares of its points: a row each."""
    rows = []
    for cut in cuts:
        k = max(2, round(cut * len(seen["steps"])))
        lists = {name: np.asarray(points, dtype=np.float64)[:k].tolist() for name, points in seen.items()}
        rows.append({**shared, "cell_id": f"{curve}/{cut:.0%}", "cut": f"{cut:.0%}", **lists})
    return rows


def examples_from_lcdb(table: pd.DataFrame) -> pd.DataFrame:
    """One row per curve and cut: the first anchors as inputs, the mean accuracy at the last one as `value`.

    `query_id` is the data set. `standard_errors` of the inputs count runs as independent; `standard_error` of the
    outcome respects the outer splits, between which a share of the variance lies.
    """
    rows = []
    for (dataset, learner), part in usable_curves(table).groupby(["dataset", "learner"]):
        columns = {name: part[name].to_numpy(dtype=np.float64) for name in ("step", "value", "sd", "n")}
        error = columns["sd"] / np.sqrt(columns["n"])
        last = part.iloc[-1]
        split_error = last["split_sd"] / np.sqrt(last["n_splits"])
        shared = {
            "query_id": str(dataset), "value": last["value"], "dataset": str(dataset), "learner": str(learner),
            "standard_error": error[-1] if np.isnan(split_error) else split_error, "target_step": float(last["step"]),
        }  # fmt: skip
        seen = {"steps": columns["step"], "values": columns["value"], "standard_errors": error}
        rows += _beginnings(f"{dataset}/{learner}", LCDB_CUTS, shared, **seen)
    out = pd.DataFrame(rows)
    return out.assign(split=lcdb_split(out["dataset"]), resource_unit="items", source="lcdb", **_FIXED)


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
    return pd.DataFrame(rows).assign(split="test", resource_unit="tokens", source="ladder", **_FIXED)


def examples_from_runs(table: pd.DataFrame) -> pd.DataFrame:
    """One row per curve and cut: the first logged points as inputs, the last one that was logged as `value`.

    `query_id` is the base workload, whose variants stay together. Values are counted in the 5-95 % range of the whole
    curve, which makes metrics comparable; since that scales what is observed as well, and every forecaster of the
    family goes with the scale, it tells nothing of the end. `standard_error` is the spread of the last values of the
    runs of one setting: what a seed alone changes, where they stopped.
    """
    rows: list[dict[str, Any]] = []
    for (curve, metric), part in table.groupby(["curve_id", "metric"], sort=True):
        steps, values = (part[name].to_numpy(dtype=np.float64) for name in ("step", "value"))
        width = float(np.subtract(*np.quantile(values, [0.95, 0.05])))
        if width <= 0:
            continue
        first = part.iloc[0]
        name = str(metric).replace("/", " ")
        top = next((top for end, top in _TOP.items() if name.endswith(end)), np.inf)
        shared = {
            "query_id": first["base"], "dataset": first["workload"], "setting": first["setting"], "metric": name,
            "value": values[-1] / width, "last": values[-1], "width": width, "target_step": float(steps[-1]),
            "lower_bound": (0.0 if values.min() >= 0 else -np.inf) / width, "upper_bound": top / width,
            "source": first["source"],
        }  # fmt: skip
        rows += _beginnings(f"{curve}/{metric}", RUN_CUTS, shared, steps=steps, values=values / width)
    out = pd.DataFrame(rows)
    same = out.groupby(["setting", "metric", "cut"])["last"]
    out["standard_error"] = same.transform("std") / out["width"]
    out = out[same.transform("size") >= LEAST_SEEDS].reset_index(drop=True)
    split = pd.Series(np.where(out["query_id"].isin(HELD_OUT), "test", "train"), dtype="str")
    return out.drop(columns=["last", "width"]).assign(**_OUTCOME, split=split, resource_unit="steps")


def examples_from_lake(table: pd.DataFrame) -> pd.DataFrame:
    """One row per finished run of `training_curves`, metric and cut: its beginning, and its last value as `value`.

    `query_id` is the run, or the one that it is nested in. Values are counted in the 5-95 % range of the whole curve,
    as those of public training runs are (`examples_from_runs`). Long runs are thinned to about `MOST_ANCHORS`
    points, evenly in log steps, the last among them; a run with fewer than `LEAST_POINTS` finite ones is left out.
    """
    rows: list[dict[str, Any]] = []
    ended = table[table["is_finished"] & np.isfinite(table["value"].to_numpy("float64"))]
    for (source, curve, metric, seed), part in ended.groupby(["source", "curve_id", "metric", "seed"], dropna=False):
        points = part.sort_values("step").drop_duplicates("step", keep="last")
        if len(points) > MOST_ANCHORS:
            points = points.iloc[np.unique(np.geomspace(1, len(points), MOST_ANCHORS).round().astype(int)) - 1]
        width = float(np.subtract(*np.quantile(points["value"], [0.95, 0.05])))
        if len(points) < LEAST_POINTS or width <= 0:
            continue
        last, name = points.iloc[-1], f"{source}/{curve}/{metric}" + ("" if pd.isna(seed) else f"/{seed}")
        is_share = bool(points["value"].between(0, 1).all())
        shared = {
            "query_id": f"{source}/{curve if pd.isna(last['parent_id']) else last['parent_id']}", "source": source,
            "value": float(last["value"]) / width, "standard_error": float(last["standard_error"]) / width,
            "metric": metric,
            "dataset": last["dataset"], "learner": last["learner"], "target_step": float(last["step"]),
            "resource_unit": last["resource_unit"],
            # What a night can judge is told by when the outcome was known.
            "started_at": last["started_at"] + pd.Timedelta(seconds=np.nan_to_num(last["wall_time_s"])),
            "higher_is_better": bool(last["higher_is_better"]), "lower_bound": 0.0 if is_share else np.nan,
            "upper_bound": 1.0 / width if is_share else np.nan,
        }  # fmt: skip
        errors = points["standard_error"] / width
        seen = {"steps": points["step"], "values": points["value"] / width, "standard_errors": errors}
        rows += _beginnings(name, LCDB_CUTS, shared, **seen)
    fixed = {name: value for name, value in _FIXED.items() if not rows or name not in rows[0]}
    out = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["query_id", "started_at"]).assign(**fixed)
    return out.assign(split=assign_split(out["query_id"])) if rows else out
