"""Which rows a fit reads: public and own together, or either alone where that is better on own queries.

A choice is a fit each, judged on queries that none of them has seen. Other rows than all are taken only where they beat
all of them by more than luck: few own rows cannot decide against the many, and many own rows decide where the public
ones mislead.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import loss_differences
from foretell.assets.lake.traces.across_days import is_drawn
from foretell.assets.registry.policy import Policy
from foretell.predictors.splits import assign_split

ERROR_PROBABILITY = 0.05
MIN_OWN_QUERIES = 20
"""Fewer own queries to learn from tell nothing about which rows are better."""
MAX_PUBLIC_ROWS = 3_000
"""Of more public rows than this, those of some queries are compared with: five fits to all of them take too long."""
HALVES = {"one": 0.5, "other": 0.5}


def choose_rows(family: Family, examples: pd.DataFrame, policy: Policy) -> tuple[str, str]:
    """Judge public, own and all rows on the own queries that may be learnt from, two halves in turn.

    Returns ``all``, ``own`` or ``public``, and why, with the numbers. So a champion is, beyond noise, never worse on
    own queries than a fit to own or to public rows alone. Costs two fits to all rows, two to half of the own ones and
    one to the public ones.
    """
    learn = examples[examples["split"] != "test"]
    own = learn[learn["is_own"] & ~learn["is_capped"]] if "is_own" in learn else learn.iloc[:0]
    n_own = own["query_id"].nunique()
    if n_own < MIN_OWN_QUERIES:
        return "all", f"all rows: {n_own} own queries are too few to choose by"
    halves = assign_split(own["query_id"], fractions=HALVES, salt="own rows")
    public = learn[~learn["is_own"]]
    public = public[is_drawn(public["query_id"], MAX_PUBLIC_ROWS / max(len(public), 1))]
    fitted_public = family.fit(family.predictor(), public)
    parts = []
    for half in HALVES:
        rest = own[halves != half]
        whole = family.fit(family.predictor(), pd.concat([public, rest]))
        rivals = {"own": family.fit(family.predictor(), rest), "public": fitted_public}
        parts.append(loss_differences(family, own[halves == half], whole, rivals, policy.metric))
    differences = {name: np.concatenate([part[name] for part in parts]) for name in ("own", "public")}
    picked = pick_best(differences) or "all"
    gains = ", ".join(f"{name} {-float(d.mean()):+.4g}" for name, d in differences.items())
    return picked, f"{picked} rows: gain in {policy.metric} over all rows on {n_own} own queries: {gains}"


def chosen_rows(examples: pd.DataFrame, choice: str) -> pd.DataFrame:
    """The rows that a fit of this choice reads, and every test row."""
    if choice == "all":
        return examples
    kept: pd.DataFrame = examples[(examples["is_own"] == (choice == "own")) | (examples["split"] == "test")]
    return kept


def pick_best(differences: Mapping[str, NDArray[np.float64]]) -> str | None:
    """The choice of rows that beats all rows by most and by more than luck, if there is one.

    `differences` are by choice the loss with it minus that with all rows, shape (n_queries,): below 0 is better. More
    than luck is a one-sided t interval that lies below 0 (Bonferroni over choices, 5 % in all).
    """
    gains = {}
    for choice, d in differences.items():
        error = float(d.std(ddof=1)) / np.sqrt(d.size)
        limit = float(stats.t.ppf(1 - ERROR_PROBABILITY / len(differences), d.size - 1)) * error
        if -float(d.mean()) > limit:
            gains[choice] = -float(d.mean())
    return max(gains, key=lambda choice: gains[choice], default=None)
