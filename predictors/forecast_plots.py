"""Figures of single forecasts: where a learning curve ends, what more compute buys.

As in `predictors.plots`: drawn from finished tables, ``ax=None`` makes a figure, saving is the caller's job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from predictors.errors import InvalidInputError
from predictors.plots import BASELINE, FLOOR, INK, MUTED, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_extrapolation", "plot_points_of_compute"]


def plot_extrapolation(curve: pd.DataFrame, forecast: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Observed points of a curve, the forecast with its bands, the noise floor and the point at which to stop.

    Parameters
    ----------
    curve : DataFrame
        `step` and `value` of the observed points; `standard_error` where known, drawn as bars.
    forecast : DataFrame
        One row per asked step, in ascending order: `step`, `median`, `lower_50`, `upper_50`, `lower_90`, `upper_90`.
        May hold, constant over rows, `noise_floor` (expected absolute error of a perfect forecast; a band around the
        last median), `target_value` (a line) and `stop_step` (a line; where the run may stop).
    ax : Axes, optional

    Raises
    ------
    InvalidInputError
        If a column is missing.
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
    _marks(ax, forecast.iloc[-1])
    ax.set(xlabel="step", ylabel="value")
    ax.set_title("Forecast of a learning curve", loc="left")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles, names = ax.get_legend_handles_labels()
    ax.figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return ax


def _marks(ax: Axes, end: pd.Series) -> None:
    """Floor, target and stop point of an extrapolation, where they are known."""
    floor, target, stop = (end.get(name, np.nan) for name in ("noise_floor", "target_value", "stop_step"))
    if pd.notna(floor):
        band = (end["median"] - floor, end["median"] + floor)
        ax.axhspan(*band, color=FLOOR, alpha=0.35, linewidth=0, label="noise floor of one run")
    if pd.notna(target):
        ax.axhline(target, color=BASELINE, linestyle="--", linewidth=1, label="target")
    if pd.notna(stop):
        ax.axvline(stop, color="#b03030", linewidth=1.2, label="may stop here")


def plot_points_of_compute(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Points that more compute buys, with the interval, beside the difference that noise alone makes.

    Parameters
    ----------
    table : DataFrame
        `factor`, `gain`, `gain_lower`, `gain_upper`, `noise_floor`, `is_resolved` of one task, as
        `predictors.downstream_scaling.decisions.points_of_compute` gives them.
    ax : Axes, optional
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
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles, names = ax.get_legend_handles_labels()
    ax.figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return ax
