"""Figures, drawn from tables that `predictors.metrics` returns; nothing is computed anew.

Every function takes ``ax=None`` and returns the `Axes`. Saving is the caller's job. The noise floor is
drawn as a band, since it has an interval of its own; where there is none the figure says why.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "new_axes",
    "plot_comparison",
    "plot_drift",
    "plot_error_by_segment",
    "plot_error_vs_floor",
    "plot_floor_by_segment",
    "plot_pit",
    "plot_reliability",
    "plot_risk_coverage",
]

INK, FLOOR, BASELINE, MUTED = "#1f4e79", "#e0a030", "#8c8c8c", "#666666"


def plot_error_vs_floor(
    evaluation: pd.DataFrame, metric: str = "crps", segment: str = "all", ax: Axes | None = None
) -> Axes:
    """Error of every predictor in one segment, with intervals, above the floor's band and beside its baseline.

    Parameters
    ----------
    evaluation : DataFrame
        Valid under `predictors.schemas.Evaluation`; one row per predictor is drawn.
    metric, segment : str, optional
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    InvalidInputError
        If no row has that metric and segment.
    """
    rows = _select(evaluation, metric, segment)
    labels = _labels(rows)
    ax = new_axes(ax, 1.2 + 0.55 * len(rows))
    y = np.arange(len(rows))[::-1]
    if len(set(zip(rows["dataset"], rows["split"], strict=True))) == 1:
        _band(ax, rows.iloc[0], None)
    else:
        for height, (_, row) in zip(y, rows.iterrows(), strict=True):
            _band(ax, row, float(height))
    base = rows["baseline_value"].notna().to_numpy()
    names = sorted(rows.loc[base, "baseline"].unique()) if base.any() else []
    ax.plot(
        rows["baseline_value"][base],
        y[base],
        "D",
        color=BASELINE,
        label="baseline: " + ", ".join(names) if names else None,
    )
    _points(ax, rows, y, "this predictor" if len(rows) == 1 else "predictor, 95 % interval")
    _finish(ax, rows, y, labels, metric, f"Error against the noise floor, {_place(rows, segment)}")
    return ax


def plot_error_by_segment(
    evaluation: pd.DataFrame, metric: str = "crps", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Error of one predictor by segment, each with its own floor as a band and its baseline.

    Parameters
    ----------
    evaluation : DataFrame
        Valid under `predictors.schemas.Evaluation`.
    metric : str, optional
    predictor : str, optional
        By default the first in the table.
    ax : Axes, optional
    """
    rows = _one_predictor(evaluation, metric, predictor)
    ax = new_axes(ax, 1.2 + 0.45 * len(rows))
    y = np.arange(len(rows))[::-1]
    for height, (_, row) in zip(y, rows.iterrows(), strict=True):
        _band(ax, row, float(height))
    base = rows["baseline_value"].notna().to_numpy()
    ax.plot(rows["baseline_value"][base], y[base], "D", color=BASELINE, label="baseline")
    _points(ax, rows, y, "predictor, 95 % interval")
    title = f"{rows['predictor'].iloc[0]} on {rows['dataset'].iloc[0]}, {rows['split'].iloc[0]}"
    _finish(ax, rows, y, rows["segment"].tolist(), metric, title)
    return ax


def plot_floor_by_segment(
    evaluation: pd.DataFrame, metric: str = "crps", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Noise floor by segment with its interval, its source and the number of queries; reasons where none."""
    rows = _one_predictor(evaluation, metric, predictor)
    ax = new_axes(ax, 1.2 + 0.45 * len(rows), width=9.0)
    y = np.arange(len(rows))[::-1]
    known = rows["noise_floor"].notna().to_numpy()
    ends = rows[["floor_ci_lower", "floor_ci_upper"]].to_numpy()
    ax.hlines(y[known], ends[known, 0], ends[known, 1], color=FLOOR, linewidth=7, alpha=0.45, label="95 % interval")
    ax.plot(rows["noise_floor"][known], y[known], "|", color="black", markersize=12, label="noise floor")
    for height, (_, row) in zip(y, rows.iterrows(), strict=True):
        source = row["floor_source"] if pd.notna(row["noise_floor"]) else row["floor_source"].removeprefix("none: ")
        text = f"{source}, {row['n_queries']} queries" if pd.notna(row["noise_floor"]) else f"no floor: {source}"
        text = "\n".join(textwrap.wrap(text, 36))
        ax.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=MUTED)
    _finish(ax, rows, y, rows["segment"].tolist(), metric, f"Noise floor by segment, {rows['dataset'].iloc[0]}")
    return ax


def plot_comparison(
    evaluation: pd.DataFrame, metric: str = "crps", segment: str = "all", ax: Axes | None = None
) -> Axes:
    """Gain of every predictor over its baseline, with what the data could have detected as a band.

    A predictor is better where its whole interval is right of 0; a gain within the band was not to be
    seen at this size.
    """
    rows = _select(evaluation, metric, segment)
    rows = rows[rows["gain"].notna()]
    if rows.empty:
        raise InvalidInputError(f"no predictor has a gain in `{metric}`: evaluate with a `baseline`")
    ax = new_axes(ax, 1.2 + 0.55 * len(rows))
    y = np.arange(len(rows))[::-1]
    mde = rows["gain_mde"].to_numpy()
    ax.barh(
        y, 2 * mde, left=-mde, height=0.7, color="#dddddd", zorder=0, label="below the detectable effect (80 % power)"
    )
    ends = rows[["gain_ci_lower", "gain_ci_upper"]].to_numpy()
    ax.hlines(y, ends[:, 0], ends[:, 1], color=INK, linewidth=2)
    ax.plot(rows["gain"], y, "o", color=INK, label="gain over the baseline, 95 % interval")
    ax.axvline(0, color="black", linewidth=0.8)
    labels = [f"{label}\nover {base}" for label, base in zip(_labels(rows), rows["baseline"], strict=True)]
    _finish(
        ax,
        rows,
        y,
        labels,
        f"gain in {metric}",
        f"Paired comparison, {_place(rows, segment)}",
        better="right is better",
    )
    return ax


def plot_reliability(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Reliability diagram with intervals.

    Parameters
    ----------
    table : DataFrame
        Of `quantile_reliability` (`level`) or `probability_reliability` (`probability`).
    ax : Axes, optional
    """
    column = "level" if "level" in table.columns else "probability"
    missing = sorted({column, "share", "ci_lower", "ci_upper"} - set(table.columns))
    if missing:
        raise InvalidInputError(f"`table` lacks the columns {missing}")
    ax = new_axes(ax, 5.0, width=5.0)
    x = table[column].to_numpy()
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--", label="calibrated")
    ax.fill_between(x, table["ci_lower"], table["ci_upper"], color=INK, alpha=0.2, linewidth=0, label="95 % interval")
    ax.plot(x, table["share"], "o-", color=INK, markersize=3, label="observed")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"forecast {column}", ylabel="observed share", aspect="equal")
    ax.set_title("Reliability", loc="left")
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_pit(histogram: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """PIT histogram with an interval on every bin; flat is calibrated, a U is too narrow, a hump too wide.

    Parameters
    ----------
    histogram : DataFrame
        ``pit_histogram(...).histogram``.
    ax : Axes, optional
    """
    missing = sorted({"lower", "upper", "share", "ci_lower", "ci_upper"} - set(histogram.columns))
    if missing:
        raise InvalidInputError(f"`histogram` lacks the columns {missing}")
    ax = new_axes(ax, 3.6)
    width = (histogram["upper"] - histogram["lower"]).to_numpy()
    middle = ((histogram["upper"] + histogram["lower"]) / 2).to_numpy()
    ax.bar(middle, histogram["share"], width * 0.94, color=INK, alpha=0.45)
    ax.vlines(middle, histogram["ci_lower"], histogram["ci_upper"], color=INK, label="95 % interval over queries")
    ax.axhline(float(width.mean()), color="black", linewidth=0.8, linestyle="--", label="calibrated")
    ax.set(xlim=(0, 1), xlabel="probability integral transform", ylabel="share of runs")
    ax.set_ylim(0, 1.25 * float(histogram["ci_upper"].fillna(histogram["share"]).max()))
    ax.set_title("PIT histogram", loc="left")
    ax.legend(frameon=False, loc="upper right", ncols=2)
    return ax


def plot_risk_coverage(
    evaluation: pd.DataFrame, metric: str = "mae", predictor: str | None = None, ax: Axes | None = None
) -> Axes:
    """Error of the most confident forecasts against the share of forecasts that is kept.

    Parameters
    ----------
    evaluation : DataFrame
        Valid under `predictors.schemas.Evaluation`, with segments ``narrowest_20=yes`` (the fifth of the forecasts
        with the narrowest intervals) and ``all``; the first data set and split are drawn.
    metric, predictor : str, optional
    ax : Axes, optional

    Raises
    ------
    InvalidInputError
        If there are no such segments.
    """
    rows = _one_predictor(evaluation, metric, predictor)
    share = rows["segment"].str.extract(r"^narrowest_(\d+)=yes$")[0].astype("float64")
    share = share.mask(rows["segment"] == "all", 100.0)
    rows = rows.assign(share=share).dropna(subset=["share"]).sort_values("share")
    if len(rows) < 2:
        raise InvalidInputError("`evaluation` has no segment such as narrowest_20=yes")
    ax = new_axes(ax, 3.6)
    ax.fill_between(rows["share"], rows["ci_lower"], rows["ci_upper"], color=INK, alpha=0.15, label="95 % interval")
    ax.plot(rows["share"], rows["value"], "o-", color=INK, label="error of the forecasts that are kept")
    ax.plot(rows["share"], rows["baseline_value"], "D--", color=BASELINE, label=f"baseline: {rows['baseline'].iloc[0]}")
    ax.set(xlabel="forecasts kept, narrowest intervals first (%)", ylabel=f"{metric} (lower is better)", ylim=(0, None))
    ax.set_title(f"Risk and coverage, {_place(rows, 'all')}", loc="left")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, loc="lower right", fontsize=8)
    return ax


def plot_drift(history: pd.DataFrame, column: str = "excess", ax: Axes | None = None) -> Axes:
    """One statistic of the champion night by night, two standard errors either way, alarms and changes marked.

    Parameters
    ----------
    history : DataFrame
        One row per night: ``night``, ``champion``, ``verdict``, `column` and, where known, ``<column>_error``.
    column : str, optional
        ``excess``, ``floor`` or ``psi``.
    ax : Axes, optional

    Returns
    -------
    Axes
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
    ax.legend(frameon=False, fontsize=8)
    return ax


# -- parts ----------------------------------------------------------------------------------------
def new_axes(ax: Axes | None, height: float, width: float = 8.0) -> Axes:
    """`ax`, or where it is None the axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, max(height, 2.4)), layout="constrained")
    return figure.add_subplot()


def _select(evaluation: pd.DataFrame, metric: str, segment: str) -> pd.DataFrame:
    rows = evaluation[(evaluation["metric"] == metric) & (evaluation["segment"] == segment)]
    if rows.empty:
        raise InvalidInputError(
            f"`evaluation` has no row with metric {metric!r} and segment {segment!r}; metrics are "
            f"{sorted(set(evaluation['metric']))}"
        )
    return rows


def _one_predictor(evaluation: pd.DataFrame, metric: str, predictor: str | None) -> pd.DataFrame:
    rows = evaluation[evaluation["metric"] == metric]
    if not rows.empty:
        first = rows.iloc[0]
        same = (rows["dataset"] == first["dataset"]) & (rows["split"] == first["split"])
        rows = rows[same & (rows["predictor"] == (predictor or first["predictor"]))]
    if rows.empty:
        raise InvalidInputError(f"`evaluation` has no row with metric {metric!r} and predictor {predictor!r}")
    return rows


def _labels(rows: pd.DataFrame) -> list[str]:
    """Predictor, and what else differs between rows."""
    keys = [key for key in ("family", "dataset", "split") if len(set(rows[key])) > 1]
    return [", ".join([row["predictor"], *(row[key] for key in keys)]) for _, row in rows.iterrows()]


def _place(rows: pd.DataFrame, segment: str) -> str:
    where = ", ".join(str(rows[key].iloc[0]) for key in ("dataset", "split") if len(set(rows[key])) == 1)
    return where if segment == "all" else f"{where}, {segment}" if where else segment


def _band(ax: Axes, row: pd.Series, height: float | None) -> None:
    """Floor and its interval over the whole figure, or in one line of it."""
    if pd.isna(row["noise_floor"]):
        if height is None:
            text = f"no noise floor: {row['floor_source'].removeprefix('none: ')}"
            ax.annotate(text, (0.99, 0.03), xycoords="axes fraction", ha="right", fontsize=8, color=MUTED)
        return
    ends = [row["floor_ci_lower"], row["floor_ci_upper"]]
    ends = [row["noise_floor"]] * 2 if np.isnan(ends).any() else ends
    label = f"noise floor, 95 % interval ({row['floor_source']})" if height is None else "noise floor, 95 % interval"
    labels = ax.get_legend_handles_labels()[1]
    label = "_nolegend_" if label in labels else label
    if height is None:
        ax.axvspan(*ends, color=FLOOR, alpha=0.3, linewidth=0, label=label)
        ax.axvline(row["noise_floor"], color=FLOOR)
    else:
        ax.barh(height, ends[1] - ends[0], left=ends[0], height=0.7, color=FLOOR, alpha=0.35, label=label)
        ax.vlines(row["noise_floor"], height - 0.35, height + 0.35, color=FLOOR)


def _points(ax: Axes, rows: pd.DataFrame, y: np.ndarray, label: str) -> None:
    ends = rows[["ci_lower", "ci_upper"]].to_numpy()
    ax.hlines(y, ends[:, 0], ends[:, 1], color=INK, linewidth=2)
    ax.plot(rows["value"], y, "o", color=INK, label=label)


def _finish(
    ax: Axes,
    rows: pd.DataFrame,
    y: np.ndarray,
    labels: list[str],
    metric: str,
    title: str,
    better: str = "left is better",
) -> None:
    ax.set_yticks(y, labels)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.use_sticky_edges = False
    ax.margins(x=0.05)
    ax.autoscale_view(scaley=False)
    ax.set_xlabel(f"{metric} ({better})")
    ax.set_title(title, loc="left")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles, names = ax.get_legend_handles_labels()
    if handles:
        ax.figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=3, fontsize=8)
