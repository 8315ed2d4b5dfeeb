"""Figures of single forecasts: where a learning curve ends, what more compute buys.

As in `plots.evaluations`: drawn from finished tables, ``ax=None`` makes a figure, saving is the caller's job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InvalidInputError
from .evaluations import BASELINE, FLOOR, INK, MUTED, listed, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_extrapolation(curve: pd.DataFrame, forecast: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Observed points of a curve, the forecast with its bands, the noise floor and the point at which to stop.

    `curve` has `step` and `value` of the observed points, and `standard_error` where known, drawn as bars. `forecast`
    has one row per asked step, in ascending order: `step`, `median`, `lower_50`, `upper_50`, `lower_90`, `upper_90`,
    and, constant over rows where known, `noise_floor` (expected absolute error of a perfect forecast; a band around the
    last median), `target_value` and `stop_step` (lines; where the forecast had settled), `metric` (name of the axis)
    and `advice` (in the title). InvalidInputError if a column is missing.
    """
    missing = sorted({"step", "value"} - set(curve.columns))
    missing += sorted({"step", "median", "lower_50", "upper_50", "lower_90", "upper_90"} - set(forecast.columns))
    if missing:
        raise InvalidInputError(f"the curve and its forecast lack the columns {missing}")
    ax = new_axes(ax, 4.4)
    errors = curve["standard_error"] if "standard_error" in curve else pd.Series(np.nan, index=curve.index)
    if errors.notna().any():
        ax.errorbar(curve["step"], curve["value"], errors.fillna(0.0), fmt="none", ecolor=MUTED, elinewidth=0.8)
    ax.plot(curve["step"], curve["value"], "o-", color="black", markersize=3, linewidth=1, label="observed")
    start = curve.iloc[[-1]]
    x = np.r_[start["step"], forecast["step"]]
    for name, alpha in (("90", 0.18), ("50", 0.32)):
        lower, upper = (np.r_[start["value"], forecast[f"{side}_{name}"]] for side in ("lower", "upper"))
        ax.fill_between(x, lower, upper, color=INK, alpha=alpha, linewidth=0, label=f"{name} % interval")
    ax.plot(x, np.r_[start["value"], forecast["median"]], color=INK, linewidth=2, label="median forecast")
    end = forecast.iloc[-1]
    floor, target, stop = (end.get(name, np.nan) for name in ("noise_floor", "target_value", "stop_step"))
    if pd.notna(floor):
        band = (end["median"] - floor, end["median"] + floor)
        ax.axhspan(*band, color=FLOOR, alpha=0.35, linewidth=0, label="noise floor of one run")
    if pd.notna(target):
        ax.axhline(target, color=BASELINE, linestyle="--", linewidth=1, label="target")
    if pd.notna(stop):
        ax.axvline(stop, color="#b03030", linewidth=1.2, label="forecast has settled")
    metric, advice = end.get("metric"), end.get("advice")
    ax.set(xlabel="step", ylabel=metric if isinstance(metric, str) else "value")
    ax.set_title(f"Forecast of a learning curve{f': {advice}' if isinstance(advice, str) else ''}", loc="left")
    return tidy(ax)


def plot_intervals(
    table: pd.DataFrame, ax: Axes | None = None, *, unit: str = "", line: float | None = None, is_log: bool = False
) -> Axes:
    """Median, 50 % and 90 % interval of every row, the first on top; a `line` is a budget, dashed.

    `table` has `label`, `median`, `lower_50`, `upper_50`, `lower_90` and `upper_90`; `unit` is what the horizontal axis
    measures, which may be logarithmic (`is_log`).
    """
    ax, places = listed(ax, table["label"], unit, "")
    for coverage, width in ((90, 3), (50, 8)):
        ax.hlines(places, table[f"lower_{coverage}"], table[f"upper_{coverage}"], color=INK, linewidth=width,
                  alpha=0.45, label=f"{coverage} %")  # fmt: skip
    ax.plot(table["median"], places, "o", color="black", markersize=4, label="median")
    if line is not None and line > 0:
        ax.axvline(line, color="#b03030", linestyle="--", linewidth=1, label="budget")
    if is_log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,g}")
    return tidy(ax)


def plot_points_of_compute(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Points that more compute buys, with the interval, beside the difference that noise alone makes.

    `table` is what `foretell.predictors.downstream_scaling.decisions.points_of_compute` gives for one task.
    """
    ax = new_axes(ax, 3.4, width=6.0)
    rows = table.sort_values("factor")
    floor = float(rows["noise_floor"].iloc[0])
    ax.axhspan(-floor, floor, color=FLOOR, alpha=0.3, linewidth=0, label="noise between two measurements")
    ax.fill_between(rows["factor"], rows["gain_lower"], rows["gain_upper"], color=INK, alpha=0.18, linewidth=0,
                    label="90 % interval")  # fmt: skip
    ax.plot(rows["factor"], rows["gain"], color=INK, linewidth=1.5, label="median forecast")
    for resolved, face in ((True, INK), (False, "white")):
        part = rows[rows["is_resolved"] == resolved]
        name = "gain beyond noise" if resolved else "may be none"
        ax.plot(part["factor"], part["gain"], "o", color=INK, markerfacecolor=face, label=name)
    ax.set_xscale("log")
    ax.set_xticks(rows["factor"], [f"{factor:g}x" for factor in rows["factor"]], minor=False)
    ax.minorticks_off()
    ax.set(xlabel="compute, as a multiple of the largest measured model's", ylabel="points gained")
    return tidy(ax)
