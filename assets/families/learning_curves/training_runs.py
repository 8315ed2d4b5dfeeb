"""Public training runs: what a user's own runs look like, with seeds. Examples and the splits that judge on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families.learning_curves.rounds import by_cut, left_out, outcomes_of
from foretell.assets.judging.family import Family
from foretell.assets.judging.splits import Round, Split
from foretell.assets.store.sources import Sources
from foretell.predictors.errors import DatasetError

RUN_CUTS = (0.2, 0.4, 0.6, 0.8)
"""Shares of a run's own logged points that are observed."""
LEAST_SEEDS = 3
HELD_OUT = frozenset({"imagenet_vit"})
"""Workload that a registered fit is judged on; `run_splits` leaves out each in turn."""
JUDGED = "algoperf"
RIVALS = ("network", "map_ensemble", "last_value")
_TOP = {"accuracy": 1.0, "bleu": 100.0, "precision": 1.0, "ssim": 1.0}
"""Upper bound of a metric by the end of its name."""


def load_runs(sources: Sources) -> pd.DataFrame:
    """The bundled figures, one row per run, metric and step; see ``data/public/README.md``.

    Raises
    ------
    DatasetError
        If the file is missing.
    """
    path = sources.public / "training_curves.parquet"
    if not path.is_file():
        raise DatasetError(f"{path}: the public training curves are missing; install foretell again")
    return pd.read_parquet(path)


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
        for cut in RUN_CUTS:
            k = max(2, round(cut * len(steps)))
            rows.append({
                **shared, "cell_id": f"{curve}/{metric}/{cut:.0%}", "cut": f"{cut:.0%}", "steps": steps[:k].tolist(),
                "values": (values[:k] / width).tolist(),
            })  # fmt: skip
    out = pd.DataFrame(rows)
    same = out.groupby(["setting", "metric", "cut"])["last"]
    out["standard_error"] = same.transform("std") / out["width"]
    out = out[same.transform("size") >= LEAST_SEEDS].reset_index(drop=True)
    fixed: dict[str, Any] = {
        "replicate": 0, "started_at": pd.NaT, "is_censored": False, "is_capped": False, "repeat_prob": 1.0,
    }  # fmt: skip
    split = pd.Series(np.where(out["query_id"].isin(HELD_OUT), "test", "train"), dtype="str")
    return out.drop(columns=["last", "width"]).assign(**fixed, split=split, resource_unit="steps")


def run_splits(family: Family, examples: pd.DataFrame) -> Iterator[Split]:
    """``new_benchmark``: each base workload by a fit to the others; ``within``: every third setting by a fit to the
    rest; ``new_source``: each source by a fit to the other.

    Errors are shares of the 5-95 % range of the whole curve; intervals are over base workloads.
    """
    rows = examples.set_index("cell_id", drop=False)
    models = {name: model for name, model in family.models().items() if name in RIVALS or name == family.name}
    reference = ("last_value", models["last_value"])
    first = {family.name: models[family.name]}
    judged, other = rows[rows["source"] == JUDGED], rows[rows["source"] != JUDGED]
    yield by_cut("new_benchmark", left_out(family, judged, other), models, reference)
    out = rows["setting"].map(lambda name: int(name, 16) % 3 == 0)
    yield by_cut("within", [_round(family, rows[~out], rows[out & (rows["source"] == JUDGED)])], first, reference)
    yield by_cut("new_source", [_round(family, judged, other), _round(family, other, judged)], first, reference)


def _round(family: Family, train: pd.DataFrame, asked: pd.DataFrame) -> Round:
    return Round(train, family.inputs(asked), outcomes_of(asked))
