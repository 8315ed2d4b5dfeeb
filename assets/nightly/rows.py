"""Which rows a fit reads: how many days of them, and public and own together or either alone; without test queries.

A choice is a fit each, judged on queries that none of them has seen, and the noise floor of these is the same for all.
Other rows than all are taken only where they beat all of them by more than luck: reading less costs variance for
certain, and pays only where what is left out is another world.

*Variance Horizon* (abstract of arXiv 2309.15207) chooses the amount of past that a retrain reads; its algorithm could
not be checked, so this one is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import loss_differences
from foretell.assets.lake.traces.across_days import is_drawn
from foretell.assets.registry.policy import Policy
from foretell.predictors.schemas.examples import has_days
from foretell.predictors.splits import assign_split

K = TypeVar("K", int, str)
ERROR_PROBABILITY = 0.05
MIN_QUERIES = 30
MIN_OWN_QUERIES = 20
"""Fewer own queries to learn from tell nothing about which rows are better."""
MAX_PUBLIC_ROWS = 3_000
"""Of more public rows than this, those of some queries are compared with: five fits to all of them take too long."""
HALVES = {"one": 0.5, "other": 0.5}


class WindowChoice(NamedTuple):
    """Days before the newest row, that day included (None is all), and why, with the numbers."""

    days: int | None
    reason: str


class RowsChoice(NamedTuple):
    """``all``, ``own`` or ``public``, and why, with the numbers."""

    rows: str
    reason: str


def choose_window(family: Family, examples: pd.DataFrame, policy: Policy) -> WindowChoice:
    """Forecast the last days from windows that end before them, and take the one that missed least.

    All days where rows do not tell theirs, or there is too little to tell. Costs a fit for every window and one more.
    """
    if policy.window == "all":
        return WindowChoice(None, "all days, as mlflow/registry.yaml says")
    learn = examples[examples["split"] != "test"]
    if not has_days(learn):
        return WindowChoice(None, "all days: no row tells its day")
    days = learn["started_at"].dt.floor("D")
    cut = days.max() - pd.Timedelta(days=policy.window_backtest_days - 1)
    first_seen = days.groupby(learn["query_id"]).transform("min")
    judged = learn[(first_seen >= cut) & ~learn["is_capped"]]
    past = learn[(days < cut) | days.isna()]
    windows = {}
    for length in policy.window_candidates:
        part = past[(past["started_at"] >= cut - pd.Timedelta(days=length)) | past["started_at"].isna()]
        if part["query_id"].nunique() >= policy.min_window_queries and len(part) < len(past):
            windows[length] = part
    n_judged = judged["query_id"].nunique()
    if n_judged < MIN_QUERIES or not windows:
        return WindowChoice(None, f"all days: {n_judged} new queries, {len(windows)} windows")
    rivals = {length: family.fit(family.predictor(), rows) for length, rows in windows.items()}
    differences = loss_differences(family, judged, family.fit(family.predictor(), past), rivals, policy.metric)
    picked = pick_best(differences)
    gains = ", ".join(f"{length} days {-float(d.mean()):+.4g}" for length, d in differences.items())
    what = "all days" if picked is None else f"{picked} days"
    where = f"{n_judged} queries of the last {policy.window_backtest_days} days"
    return WindowChoice(picked, f"{what}: gain in {policy.metric} over all days on {where}: {gains}")


def within_window(examples: pd.DataFrame, days: int | None) -> pd.DataFrame:
    """The rows that a fit over `days` reads, and every test row: older ones are still there to be judged on."""
    if days is None:
        return examples
    newest = examples["started_at"].dt.floor("D").max()
    is_recent = examples["started_at"] >= newest - pd.Timedelta(days=days - 1)
    kept: pd.DataFrame = examples[is_recent | examples["started_at"].isna() | (examples["split"] == "test")]
    return kept


def choose_rows(family: Family, examples: pd.DataFrame, policy: Policy) -> RowsChoice:
    """Judge public, own and all rows on the own queries that may be learnt from, two halves in turn.

    So a champion is, beyond noise, never worse on own queries than a fit to own or to public rows alone. Costs two fits
    to all rows, two to half of the own ones and one to the public ones.
    """
    learn = examples[examples["split"] != "test"]
    own = learn[learn["is_own"] & ~learn["is_capped"]] if "is_own" in learn else learn.iloc[:0]
    n_own = own["query_id"].nunique()
    if n_own < MIN_OWN_QUERIES:
        return RowsChoice("all", f"all rows: {n_own} own queries are too few to choose by")
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
    return RowsChoice(picked, f"{picked} rows: gain in {policy.metric} over all rows on {n_own} own queries: {gains}")


def chosen_rows(examples: pd.DataFrame, choice: str) -> pd.DataFrame:
    """The rows that a fit of this choice reads, and every test row."""
    if choice == "all":
        return examples
    kept: pd.DataFrame = examples[(examples["is_own"] == (choice == "own")) | (examples["split"] == "test")]
    return kept


def pick_best(differences: Mapping[K, NDArray[np.float64]]) -> K | None:
    """The choice of rows that beats all rows by most and by more than luck.

    Parameters
    ----------
    differences : mapping to ndarray of shape (n_queries,)
        Choice, such as days of a window -> loss with it minus loss with all rows, per query; below 0 is better.

    Returns
    -------
    key of `differences` or None
        None where no choice's one-sided t interval lies below 0 (Bonferroni over choices, 5 % in all).
    """
    best: K | None = None
    best_gain = 0.0
    for choice, d in differences.items():
        error = float(d.std(ddof=1)) / np.sqrt(d.size)
        limit = float(stats.t.ppf(1 - ERROR_PROBABILITY / len(differences), d.size - 1)) * error
        gain = -float(d.mean())
        if gain > limit and gain > best_gain:
            best, best_gain = choice, gain
    return best
