"""How many days to train on: by backtest, the window whose forecasts of the last days miss least.

*Variance Horizon* (abstract of arXiv 2309.15207) chooses the amount of past that a retrain reads; its algorithm could
not be checked, so this one is ours. The last days are forecast by fits that end before them, one for each window. All
are judged on the same queries, so the noise floor is the same for all, and the window with the least error is the one
with the least excess error. A shorter window is taken only where it beats the whole by more than luck: reading less of
the past costs variance for certain, and pays only where the past is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import forecasts_by_cell
from foretell.assets.judging.vault import sealed
from foretell.assets.registry.policy import Policy
from foretell.predictors.schemas.examples import has_days

K = TypeVar("K", int, str)
ERROR_PROBABILITY = 0.05
MIN_QUERIES = 30


@dataclass(frozen=True)
class WindowChoice:
    """How much past tonight's fit reads.

    Attributes
    ----------
    days : int or None
        Days before the newest row, that day included; None is all.
    reason : str
        Why, with the numbers.
    """

    days: int | None
    reason: str


def choose_window(family: Family, examples: pd.DataFrame, policy: Policy) -> WindowChoice:
    """Forecast the last days from windows that end before them, and take the one that missed least.

    Only rows to learn from are read: test queries are kept for judging the fit. Costs a fit more for every window.

    Parameters
    ----------
    examples : DataFrame of shape (n_runs, n_columns)
        What tonight may learn from, after a drift only what came since.

    Returns
    -------
    WindowChoice
        All days where rows do not tell theirs, or there is too little to tell.
    """
    if policy.window == "all":
        return WindowChoice(None, "all days, as mlflow/registry.yaml says")
    learn = examples[examples["split"] != "test"]
    if not has_days(learn):
        return WindowChoice(None, "all days: no row tells its day")
    days = learn["started_at"].dt.floor("D")
    cut = days.max() - pd.Timedelta(days=policy.window_backtest_days - 1)
    first_seen = days.groupby(learn["query_id"]).transform("min")
    judged = learn[(first_seen >= cut) & ~learn["is_capped"] & ~sealed(learn)]
    past = learn[(days < cut) | days.isna()]
    windows: dict[int | None, pd.DataFrame] = {None: past}
    for length in policy.window_candidates:
        part = past[(past["started_at"] >= cut - pd.Timedelta(days=length)) | past["started_at"].isna()]
        if part["query_id"].nunique() >= policy.min_window_queries and len(part) < len(past):
            windows[length] = part
    if judged["query_id"].nunique() < MIN_QUERIES or len(windows) < 2:
        return WindowChoice(None, f"all days: {judged['query_id'].nunique()} new queries, {len(windows) - 1} windows")
    return _compared(family, windows, judged, policy)


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


def within_window(examples: pd.DataFrame, days: int | None) -> pd.DataFrame:
    """The rows that a fit over `days` reads, and every test row: older ones are still there to be judged on."""
    if days is None:
        return examples
    newest = examples["started_at"].dt.floor("D").max()
    is_recent = examples["started_at"] >= newest - pd.Timedelta(days=days - 1)
    is_kept = is_recent | examples["started_at"].isna() | (examples["split"] == "test")
    kept: pd.DataFrame = examples[is_kept]
    return kept


def _compared(
    family: Family, windows: Mapping[int | None, pd.DataFrame], judged: pd.DataFrame, policy: Policy
) -> WindowChoice:
    from foretell.predictors.metrics import query_differences

    forecasts = {}
    for days, rows in windows.items():
        model = family.predictor().fit(
            family.inputs(rows), rows["value"], groups=rows["query_id"], is_censored=rows["is_censored"]
        )
        forecasts[days] = forecasts_by_cell(family, {"window": model}, judged)["window"]
    whole = forecasts.pop(None)
    differences = {
        days: query_differences(judged, forecast, whole, metric=policy.metric, scale=family.scale)
        for days, forecast in forecasts.items()
        if days is not None
    }
    picked = pick_best(differences)
    gains = ", ".join(f"{days} days {-float(d.mean()):+.4g}" for days, d in differences.items())
    what = "all days" if picked is None else f"{picked} days"
    where = f"{judged['query_id'].nunique()} queries of the last {policy.window_backtest_days} days"
    return WindowChoice(picked, f"{what}: gain in {policy.metric} over all days on {where}: {gains}")
