"""Which rows a champion learns from: public and own together, or either alone where that is better on own queries.

Own queries are forecast by fits that have not seen them, two halves in turn. The fit to all rows is kept unless another
misses less by more than luck: few own rows cannot decide against the many, and many own rows decide where the public
ones mislead. So a champion is, beyond noise, never worse on own queries than a fit to own or to public rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import forecasts_by_cell
from foretell.assets.judging.vault import sealed
from foretell.assets.lake.traces.draw import is_drawn
from foretell.assets.nightly.window import pick_best
from foretell.assets.registry.policy import Policy
from foretell.predictors.base import BasePredictor
from foretell.predictors.splits import assign_split

MIN_OWN_QUERIES = 20
"""Fewer own queries to learn from tell nothing about which rows are better."""


MAX_PUBLIC_ROWS = 3_000
"""Of more public rows than this, those of some queries are compared with: five fits to all of them take too long."""
HALVES = {"one": 0.5, "other": 0.5}


@dataclass(frozen=True)
class RowsChoice:
    """`rows`: ``all``, ``own`` or ``public``; `reason`: why, with the numbers."""

    rows: str
    reason: str


def choose_rows(family: Family, examples: pd.DataFrame, policy: Policy) -> RowsChoice:
    """Judge the three choices on the own queries of `examples` that may be learnt from.

    Costs two fits to all rows, two to half of the own ones and one to the public ones.
    """
    learn = examples[examples["split"] != "test"]
    own = learn[learn["is_own"] & ~learn["is_capped"] & ~sealed(learn)] if "is_own" in learn else learn.iloc[:0]
    n_own = own["query_id"].nunique()
    if n_own < MIN_OWN_QUERIES:
        return RowsChoice("all", f"all rows: {n_own} own queries are too few to choose by")
    halves = assign_split(own["query_id"], fractions=HALVES, salt="own rows")
    public = learn[~learn["is_own"]]
    public = public[is_drawn(public["query_id"], MAX_PUBLIC_ROWS / max(len(public), 1))]
    losses: dict[str, list[NDArray[np.float64]]] = {"own": [], "public": []}
    fitted_public = _fit(family, public)
    for half in HALVES:
        judged, rest = own[halves == half], own[halves != half]
        models = {"all": _fit(family, pd.concat([public, rest])), "own": _fit(family, rest), "public": fitted_public}
        forecasts = forecasts_by_cell(family, models, judged)
        for name, told in losses.items():
            told.append(_differences(family, judged, forecasts[name], forecasts["all"], policy))
    differences = {name: np.concatenate(parts) for name, parts in losses.items()}
    picked = pick_best(differences) or "all"
    gains = ", ".join(f"{name} {-float(d.mean()):+.4g}" for name, d in differences.items())
    return RowsChoice(picked, f"{picked} rows: gain in {policy.metric} over all rows on {n_own} own queries: {gains}")


def chosen_rows(examples: pd.DataFrame, choice: str) -> pd.DataFrame:
    """The rows that a fit of this choice reads, and every test row."""
    if choice == "all":
        return examples
    kept: pd.DataFrame = examples[(examples["is_own"] == (choice == "own")) | (examples["split"] == "test")]
    return kept


def _fit(family: Family, rows: pd.DataFrame) -> BasePredictor:
    known = {"groups": rows["query_id"], "is_censored": rows["is_censored"]}
    return family.predictor().fit(family.inputs(rows), rows["value"], **known)


def _differences(
    family: Family, judged: pd.DataFrame, one: pd.DataFrame, other: pd.DataFrame, policy: Policy
) -> NDArray[np.float64]:
    from foretell.predictors.metrics import query_differences

    return query_differences(judged, one, other, metric=policy.metric, scale=family.scale)
