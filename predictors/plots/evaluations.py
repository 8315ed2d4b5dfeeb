"""Figures, drawn from tables that `foretell.predictors.metrics` returns; nothing is computed anew.

Every function takes ``ax=None`` and returns the `Axes`. Saving is the caller's job. The noise floor is
drawn as a band, since it has an interval of its own; where there is none the figure says why.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arrays import Codes
from ..errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SEGMENTS = 60
"""Segments that are drawn, those of most queries."""
INK, FLOOR, BASELINE, MUTED = "#1f4e79", "#e0a030", "#8c8c8c", "#666666"


def plot_error_by_segment(
    evaluation: pd.DataFrame, metric: str = "crps", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Error of one predictor, by default the first, by segment, each with its own floor as a band and its baseline."""
    rows, part = _most_queries(_one_predictor(evaluation, metric, predictor))
    title = f"{rows['predictor'].iloc[0]} on {rows['dataset'].iloc[0]}, {rows['split'].iloc[0]}{part}"
    ax, y = listed(ax, rows["segment"], f"{metric} (left is better)", title)
    floor = rows["noise_floor"]
    lower, upper = (rows[f"floor_ci_{end}"].where(rows["floor_ci_lower"].notna(), floor) for end in ("lower", "upper"))
    has_floor = floor.notna().to_numpy()
    ax.barh(y[has_floor], (upper - lower)[has_floor], left=lower[has_floor], height=0.7, color=FLOOR, alpha=0.35,
            label="noise floor, 95 % interval")  # fmt: skip
    ax.vlines(floor, y - 0.35, y + 0.35, color=FLOOR)
    ax.plot(rows["baseline_value"], y, "D", color=BASELINE, label="baseline")
    intervals(ax, y, rows[["ci_lower", "ci_upper"]], rows["value"], "predictor, 95 % interval")
    _crop(ax, rows[["value", "baseline_value", "noise_floor"]])
    return tidy(ax)


def plot_floor_by_segment(
    evaluation: pd.DataFrame, metric: str = "crps", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Noise floor by segment with its interval, its source and the number of queries; where there is none, why."""
    every = _one_predictor(evaluation, metric, predictor)
    rows, part = _most_queries(every[every["noise_floor"].notna()])
    title = f"Noise floor by segment, {every['dataset'].iloc[0]}{part}"
    ax, y = listed(ax, rows["segment"], f"{metric} (left is better)", title, width=9.0)
    ax.hlines(y, rows["floor_ci_lower"], rows["floor_ci_upper"], color=FLOOR, linewidth=7, alpha=0.45,
              label="95 % interval")  # fmt: skip
    ax.plot(rows["noise_floor"], y, "|", color="black", markersize=12, label="noise floor")
    sources = [f"{row['floor_source']}, {row['n_queries']} queries" for row in rows.to_dict("records")]
    side_notes(ax, y, ["\n".join(textwrap.wrap(source, 36)) for source in sources])
    _crop(ax, rows[["value", "baseline_value", "noise_floor"]])
    missing = every.loc[every["noise_floor"].isna(), "floor_source"].str.removeprefix("none: ").value_counts()
    if len(missing):
        reasons = "; ".join(f"{n} segments, {reason}" for reason, n in missing.items())
        ax.annotate("\n".join(textwrap.wrap(f"no floor: {reasons}", 100)), (0, -0.16 - 0.3 / max(len(rows), 1)),
                    xycoords="axes fraction", va="top", fontsize=8, color=MUTED)  # fmt: skip
    return tidy(ax)


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
    ax.set(title=f"{column} of the champion by night (dotted: a new champion)", ylabel=column)
    ax.tick_params(axis="x", rotation=30)
    return tidy(ax)


# -- parts ----------------------------------------------------------------------------------------
def new_axes(ax: Axes | None, height: float, width: float = 8.0) -> Axes:
    """`ax`, or where it is None the axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, max(height, 2.4)), layout="constrained")
    return figure.add_subplot()


def listed(
    ax: Axes | None, labels: Iterable[object], xlabel: str, title: str, *, width: float = 8.0
) -> tuple[Axes, Codes]:
    """Axes with a line for each of `labels`, the first on top, and the heights of these lines."""
    names = [str(label) for label in labels]
    per_line = 0.3 + 0.15 * max((name.count("\n") for name in names), default=0)
    ax = new_axes(ax, 1.4 + per_line * len(names), width)
    y = np.arange(len(names))[::-1]
    ax.set_yticks(y, names, fontsize=8)
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.set_xlabel(xlabel)
    ax.set_title(title, loc="left")
    return ax, y


def intervals(ax: Axes, y: NDArray[Any], ends: pd.DataFrame, middle: pd.Series, label: str, color: str = INK) -> None:
    """Lines between the two columns of `ends`, a dot in the `middle` of each, at the heights `y`."""
    ax.hlines(y, *ends.to_numpy(dtype=np.float64).T, color=color, linewidth=2)
    ax.plot(middle, y, "o", color=color, markersize=5, label=label)


def side_notes(ax: Axes, y: Codes, notes: Iterable[str]) -> None:
    """A note to the right of each line."""
    for height, note in zip(y, notes, strict=True):
        ax.annotate(note, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=MUTED)


def tidy(ax: Axes) -> Axes:
    """The same axes without a frame above and to the right, the legend below the figure."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles, names = ax.get_legend_handles_labels()
    if handles:
        ax.figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return ax


def _one_predictor(evaluation: pd.DataFrame, metric: str, predictor: str | None) -> pd.DataFrame:
    rows = evaluation[evaluation["metric"] == metric]
    if not rows.empty:
        first = rows.iloc[0]
        same = (rows["dataset"] == first["dataset"]) & (rows["split"] == first["split"])
        rows = rows[same & (rows["predictor"] == (predictor or first["predictor"]))]
    if rows.empty:
        raise InvalidInputError(f"`evaluation` has no row with metric {metric!r} and predictor {predictor!r}")
    return rows


def _most_queries(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """At most `MAX_SEGMENTS` rows, those of most queries, in their order; and what a title says of that."""
    if len(rows) <= MAX_SEGMENTS:
        return rows, ""
    return rows[rows["n_queries"].rank(ascending=False, method="first") <= MAX_SEGMENTS], (
        f" ({MAX_SEGMENTS} of {len(rows)} segments)"
    )


def _crop(ax: Axes, shown: pd.DataFrame) -> None:
    """Let a wide interval run out of the frame rather than flatten the values that are `shown`."""
    ax.use_sticky_edges = False
    ax.margins(x=0.05)
    ax.autoscale_view(scaley=False)
    values = shown.to_numpy(dtype=np.float64)
    if np.isfinite(values).any():
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        span = max(high - low, 0.5 * abs(high), 1e-9)
        left, right = ax.get_xlim()
        ax.set_xlim(max(left, low - span), min(right, high + span))
