"""Measurements -> one row per forecast: a target model, the ladder below it, and the score that was measured.

Every forecast asks for a model that lies above the ladder it is made from. A public family of models is either judged
or learnt from: of a judged one the largest models (`is_target`) are the test split, and nothing is learnt from the
others; of the rest every model that has a ladder below it is learnt from.
"""

from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families.downstream_scaling.measurements import load_measurements, public_measurements
from foretell.assets.judging.family import LAKE
from foretell.assets.store.sources import Sources
from foretell.predictors.downstream_scaling.ladder import compute_levels

LEAST_REACH = 1.25
"""How many times the compute of its ladder's largest model the target of an example has at least."""
LEAST_LEVELS = 2
_SIZES = {"flops": "train_flops", "params": "n_params", "tokens": "n_train_tokens"}
_LISTS = {**_SIZES, "scores": "score", "errors": "standard_error", "is_final": "is_final", "runs": "run"}


def examples_from_measurements(measured: pd.DataFrame) -> pd.DataFrame:
    """One row per forecast: a target model, and the ladder of models with clearly less compute.

    Models that are targets of the test split stand in no ladder; every other model is a target to learn from.
    """
    rows: list[dict[str, Any]] = []
    ordered = measured.sort_values(["dataset", "ladder", "benchmark", "train_flops", "run"], kind="stable")
    for _, group in ordered.groupby(["dataset", "ladder", "benchmark"], sort=False):
        rows += _examples_of(group.reset_index(drop=True))
    return pd.DataFrame(rows)


def _examples_of(group: pd.DataFrame) -> list[dict[str, Any]]:
    """Examples of one task and ladder, models in order of compute."""
    columns = {name: group[name].to_numpy() for name in group.columns}
    columns["score"] = np.clip(columns["score"], 0, 100)
    flops, params, run, final = (columns[name] for name in ("train_flops", "n_params", "run", "is_final"))
    small = ~columns["is_target"].astype(bool)
    out = []
    for t in np.flatnonzero(final):
        ends = small & final & (run != run[t]) & (params <= params[t]) & (flops < flops[t] / LEAST_REACH)
        if len(compute_levels(flops[ends])) >= LEAST_LEVELS:
            out.append(_example(columns, int(t), np.flatnonzero(small & np.isin(run, run[ends]))))
    return out


def _example(columns: dict[str, np.ndarray], t: int, below: np.ndarray) -> dict[str, Any]:
    dataset, ladder, benchmark, run = (str(columns[name][t]) for name in ("dataset", "ladder", "benchmark", "run"))
    is_target = bool(columns["is_target"][t])
    started = columns["started_at"][t] if "started_at" in columns else pd.NaT
    # What is learnt counts families of models: their models and tasks share recipe, data and luck.
    family = str(columns["family"][t])
    query = f"task {dataset}|{ladder}|{benchmark}" if is_target else f"family {family}"
    of_target = {f"target_{name}": float(columns[column][t]) for name, column in _SIZES.items()}
    of_ladder = {f"ladder_{name}": columns[column][below].tolist() for name, column in _LISTS.items()}
    return {
        "cell_id": f"{dataset}|{ladder}|{benchmark}|{run}", "query_id": query, "replicate": 0,
        "split": "test" if is_target else "train", "value": float(columns["score"][t]),
        "is_censored": False, "is_capped": False, "repeat_prob": 1.0, "started_at": started, "source": dataset,
        "family": family, "benchmark": benchmark, "standard_error": float(columns["standard_error"][t]),
        "target_run": run, **of_target, "chance_score": float(columns["chance_score"][t]), "upper_score": 100.0,
        "n_items": float(columns["n_items"][t]), **of_ladder,
        "item_pass_rates": _items(columns["item_pass_rates"][below]) if is_target else None,
    }  # fmt: skip


def _items(rates: np.ndarray) -> list[Any] | None:
    """Pass rates of the items, a list per model or None; None where no model has any."""
    lists = [[float(v) for v in values] if isinstance(values, list | np.ndarray) else None for values in rates]
    return lists if any(values is not None for values in lists) else None


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """Forecasts to judge a data set by, and to learn from those of all public families that are judged nowhere."""
    own = examples_from_measurements(load_measurements(dataset, sources))
    if dataset == LAKE:
        return own
    learnt = examples_from_measurements(public_measurements(sources))
    return pd.concat([own[own["split"] == "test"], learnt], ignore_index=True)
