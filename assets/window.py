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

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from assets.family import FamilyPipeline, forecasts_by_cell
from assets.policy import Policy
from assets.vault import sealed

__all__ = ["WindowChoice", "choose_window", "pick_window", "within_window"]

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


def choose_window(pipeline: FamilyPipeline, examples: pd.DataFrame, policy: Policy) -> WindowChoice:
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
    if "started_at" not in learn or not learn["started_at"].notna().any():
        return WindowChoice(None, "all days: no row tells its day")
    days = learn["started_at"].dt.floor("D")
    cut = days.max() - pd.Timedelta(days=policy.window_backtest_days - 1)
    first_seen = days.groupby(learn["query_id"]).transform("min")
    judged = learn[(first_seen >= cut) & ~learn["is_capped"] & ~sealed(learn)]
    past = learn[days < cut]
    windows: dict[int | None, pd.DataFrame] = {None: past}
    for length in policy.window_candidates:
        part = past[past["started_at"] >= cut - pd.Timedelta(days=length)]
        if part["query_id"].nunique() >= policy.min_window_queries and len(part) < len(past):
            windows[length] = part
    if judged["query_id"].nunique() < MIN_QUERIES or len(windows) < 2:
        return WindowChoice(None, f"all days: {judged['query_id'].nunique()} new queries, {len(windows) - 1} windows")
    return _compared(pipeline, windows, judged, policy)


def pick_window(differences: Mapping[int, NDArray[np.float64]]) -> int | None:
    """The window that beats the whole past by most and by more than luck.

    Parameters
    ----------
    differences : mapping of int to ndarray of shape (n_queries,)
        Days -> loss with that window minus loss with all days, per query; below 0 is better.

    Returns
    -------
    int or None
        None where no window's one-sided t interval lies below 0 (Bonferroni over windows, 5 % in all).
    """
    best, best_gain = None, 0.0
    for days, d in differences.items():
        error = float(d.std(ddof=1)) / np.sqrt(d.size)
        limit = float(stats.t.ppf(1 - ERROR_PROBABILITY / len(differences), d.size - 1)) * error
        gain = -float(d.mean())
        if gain > limit and gain > best_gain:
            best, best_gain = days, gain
    return best


def within_window(examples: pd.DataFrame, days: int | None) -> pd.DataFrame:
    """The rows that a fit over `days` reads, and every test row: older ones are still there to be judged on."""
    if days is None:
        return examples
    newest = examples["started_at"].dt.floor("D").max()
    is_recent = examples["started_at"] >= newest - pd.Timedelta(days=days - 1)
    kept: pd.DataFrame = examples[is_recent | (examples["split"] == "test")]
    return kept


def _compared(
    pipeline: FamilyPipeline, windows: Mapping[int | None, pd.DataFrame], judged: pd.DataFrame, policy: Policy
) -> WindowChoice:
    from predictors.metrics import query_differences

    forecasts = {}
    for days, rows in windows.items():
        model = pipeline.predictor().fit(
            pipeline.inputs(rows), rows["value"], groups=rows["query_id"], is_censored=rows["is_censored"]
        )
        forecasts[days] = forecasts_by_cell(pipeline, {"window": model}, judged)["window"]
    whole = forecasts.pop(None)
    differences = {
        days: query_differences(judged, forecast, whole, metric=policy.metric, scale=pipeline.scale)
        for days, forecast in forecasts.items()
        if days is not None
    }
    picked = pick_window(differences)
    told = ", ".join(f"{days} days {-float(d.mean()):+.4g}" for days, d in differences.items())
    what = "all days" if picked is None else f"{picked} days"
    where = f"{judged['query_id'].nunique()} queries of the last {policy.window_backtest_days} days"
    return WindowChoice(picked, f"{what}: gain in {policy.metric} over all days on {where}: {told}")
