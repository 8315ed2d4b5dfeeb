"""Figures, drawn from tables that `foretell.predictors.metrics` returns; nothing is computed anew.

Every function takes ``ax=None`` and returns the `Axes`. Saving is the caller's job. The noise floor is
drawn as a band, since it has an interval of its own; where there is none the figure says why.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FLOOR, BASELINE, MUTED = "#1f4e79", "#e0a030", "#8c8c8c", "#666666"


def plot_error_by_segment(
    evaluation: pd.DataFrame, metric: str = "crps", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Error of one predictor, by default the first, by segment, each with its own floor as a band and its baseline."""
    rows = _one_predictor(evaluation, metric, predictor)
    ax = new_axes(ax, 1.2 + 0.45 * len(rows))
    y = np.arange(len(rows))[::-1]
    for height, (_, row) in zip(y, rows.iterrows(), strict=True):
        _band(ax, row, float(height))
    base = rows["baseline_value"].notna().to_numpy()
    ax.plot(rows["baseline_value"][base], y[base], "D", color=BASELINE, label="baseline")
    ax.hlines(y, rows["ci_lower"], rows["ci_upper"], color=INK, linewidth=2)
    ax.plot(rows["value"], y, "o", color=INK, label="predictor, 95 % interval")
    title = f"{rows['predictor'].iloc[0]} on {rows['dataset'].iloc[0]}, {rows['split'].iloc[0]}"
    _finish(ax, rows, y, metric, title)
    return ax


def plot_floor_by_segment(
    evaluation: pd.DataFrame, metric: str = "crps", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Noise floor by segment with its interval, its source and the number of queries; where there is none, why."""
    every = _one_predictor(evaluation, metric, predictor)
    rows = every[every["noise_floor"].notna()]
    ax = new_axes(ax, 1.6 + 0.45 * len(rows), width=9.0)
    y = np.arange(len(rows))[::-1]
    ax.hlines(y, rows["floor_ci_lower"], rows["floor_ci_upper"], color=FLOOR, linewidth=7, alpha=0.45,
              label="95 % interval")  # fmt: skip
    ax.plot(rows["noise_floor"], y, "|", color="black", markersize=12, label="noise floor")
    for height, row in zip(y, rows.to_dict("records"), strict=True):
        text = "\n".join(textwrap.wrap(f"{row['floor_source']}, {row['n_queries']} queries", 36))
        ax.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=MUTED)
    _finish(ax, rows, y, metric, f"Noise floor by segment, {every['dataset'].iloc[0]}")
    missing = every.loc[every["noise_floor"].isna(), "floor_source"].str.removeprefix("none: ").value_counts()
    if len(missing):
        reasons = "; ".join(f"{n} segments, {reason}" for reason, n in missing.items())
        ax.annotate("\n".join(textwrap.wrap(f"no floor: {reasons}", 100)), (0, -0.16 - 0.3 / max(len(rows), 1)),
                    xycoords="axes fraction", va="top", fontsize=8, color=MUTED)  # fmt: skip
    return ax


def plot_drift(history: pd.DataFrame, column: str = "excess", ax: Axes | None = None) -> Axes:
    """One statistic of the champion night by night, two standard errors either way, alarms and changes marked.

    `history` has one row per night: `night`, `champion`, `verdict`, the `column` (`excess`, `floor`, `psi`) and, where
    known, ``<column>_error``.
    """
    ax = new_axes(ax, 3.0)
    days = pd.to_datetime(history["night"]).to_numpy()
    values = history[column].to_numpy("float64")
    if f"{column}_error" in history:
        band = 2 * history[f"{column}_error"].to_numpy("float64")
        ax.fill_between(days, values - band, values + band, color=FLOOR, alpha=0.3, lw=0, label="2 standard errors")
    ax.plot(days, values, color=INK, marker=".", lw=1, label=column)
    alarms = (history["verdict"] != "ok").to_numpy()
    ax.scatter(days[alarms], values[alarms], color="#b03020", zorder=3, label="alarm")
    changed = (history["champion"] != history["champion"].shift()).to_numpy()
    for day in days[changed][1:]:
        ax.axvline(day, color=MUTED, ls=":", lw=1)
    title = f"{column} of the champion by night (dotted: a new champion)"
    ax.set(title=title, ylabel=column)
    ax.tick_params(axis="x", rotation=30)
    tidy(ax)
    return ax


# -- parts ----------------------------------------------------------------------------------------
def new_axes(ax: Axes | None, height: float, width: float = 8.0) -> Axes:
    """`ax`, or where it is None the axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, max(height, 2.4)), layout="constrained")
    return figure.add_subplot()


def tidy(ax: Axes) -> None:
    """No frame above and to the right; the legend below the figure."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles, names = ax.get_legend_handles_labels()
    if handles:
        ax.figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=3, fontsize=8)


def _one_predictor(evaluation: pd.DataFrame, metric: str, predictor: str | None) -> pd.DataFrame:
    rows = evaluation[evaluation["metric"] == metric]
    if not rows.empty:
        first = rows.iloc[0]
        same = (rows["dataset"] == first["dataset"]) & (rows["split"] == first["split"])
        rows = rows[same & (rows["predictor"] == (predictor or first["predictor"]))]
    if rows.empty:
        raise InvalidInputError(f"`evaluation` has no row with metric {metric!r} and predictor {predictor!r}")
    return rows


def _band(ax: Axes, row: pd.Series, height: float) -> None:
    """Floor and its interval, in one line of the figure."""
    if pd.isna(row["noise_floor"]):
        return
    ends = [row["floor_ci_lower"], row["floor_ci_upper"]]
    ends = [row["noise_floor"]] * 2 if np.isnan(ends).any() else ends
    label = "noise floor, 95 % interval"
    label = "_nolegend_" if label in ax.get_legend_handles_labels()[1] else label
    ax.barh(height, ends[1] - ends[0], left=ends[0], height=0.7, color=FLOOR, alpha=0.35, label=label)
    ax.vlines(row["noise_floor"], height - 0.35, height + 0.35, color=FLOOR)


def _finish(ax: Axes, rows: pd.DataFrame, y: np.ndarray, metric: str, title: str) -> None:
    ax.set_yticks(y, rows["segment"].tolist())
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.use_sticky_edges = False
    ax.margins(x=0.05)
    ax.autoscale_view(scaley=False)
    # A wide interval runs out of the frame rather than flatten everything else.
    names = [name for name in ("value", "baseline_value", "noise_floor") if name in rows]
    shown = rows[names].to_numpy(dtype=np.float64)
    if np.isfinite(shown).any():
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        span = max(high - low, 0.5 * abs(high), 1e-9)
        left, right = ax.get_xlim()
        ax.set_xlim(max(left, low - span), min(right, high + span))
    ax.set_xlabel(f"{metric} (left is better)")
    ax.set_title(title, loc="left")
    tidy(ax)
