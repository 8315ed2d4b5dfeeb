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
    from matplotlib.figure import Figure

__all__ = [
    "plot_comparison",
    "plot_cost_of_pass",
    "plot_drift",
    "plot_error_by_segment",
    "plot_error_vs_floor",
    "plot_extrapolation",
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
    ax = _axes(ax, 1.2 + 0.55 * len(rows))
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
    ax = _axes(ax, 1.2 + 0.45 * len(rows))
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
    ax = _axes(ax, 1.2 + 0.45 * len(rows), width=9.0)
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
    ax = _axes(ax, 1.2 + 0.55 * len(rows))
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
    ax = _axes(ax, 5.0, width=5.0)
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
    ax = _axes(ax, 3.6)
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
    ax = _axes(ax, 3.6)
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
    ax = _axes(ax, 3.0)
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
    ax = _axes(ax, 4.4)
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


# -- parts ----------------------------------------------------------------------------------------
def _axes(ax: Axes | None, height: float, width: float = 8.0) -> Axes:
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


# -- reports about request traces ----------------------------------------------------------------------
MAX_ROWS = 40
FACTOR_COLOURS = {"price": "#7f7f7f", "thinking": "#c0504d", "answer": "#4f81bd", "prompt": "#9bbb59"}


def plot_price_reversals(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What made the model that is listed cheaper dearer: log cost ratio of every reversal, by cause.

    Parameters
    ----------
    pairs : DataFrame
        `benchmark`, `cheaper`, `dearer`, `log_ratio`, `status`, `is_reversed` and ``<factor>_log_ratio`` for price,
        thinking, answer and prompt, which add up to `log_ratio`. The 40 largest reversals are drawn.
    ax : Axes, optional
    """
    rows = pairs[pairs["is_reversed"]].sort_values("log_ratio", ascending=False).head(MAX_ROWS)
    ax = _axes(ax, 1.6 + 0.34 * len(rows), width=11.0)
    y = np.arange(len(rows))[::-1]
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for factor, colour in FACTOR_COLOURS.items():
        part = rows[f"{factor}_log_ratio"].to_numpy(dtype=np.float64)
        start = np.where(part >= 0, right, left)
        ax.barh(y, part, left=start, height=0.7, color=colour, alpha=0.85, label=factor)
        right, left = right + np.maximum(part, 0.0), left + np.minimum(part, 0.0)
    ax.plot(rows["log_ratio"], y, "D", color="black", markersize=4, label="cost ratio")
    ax.axvline(0, color="black", linewidth=0.8)
    marks = {"reversed": "", "unresolved": " (unresolved)"}
    labels = [
        f"{row.benchmark}: {row.cheaper} over {row.dearer}{marks.get(str(row.status), '')}" for row in rows.itertuples()
    ]
    ratios = np.array([0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64])
    inside = (np.log(ratios) >= left.min(initial=0.0) - 0.1) & (np.log(ratios) <= right.max(initial=0.0) + 0.1)
    ax.set_xticks(np.log(ratios[inside]), [f"{ratio:g}x" for ratio in ratios[inside]])
    title = f"Reversals, {len(rows)} of {int(pairs['is_reversed'].sum())}: listed cheaper, billed dearer"
    _tidy(ax, y, labels, "cost over that of the model that is listed dearer, by cause", title)
    return ax


def plot_cost_of_pass(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Dollars per passed answer with 95 % intervals, by benchmark and model.

    Parameters
    ----------
    table : DataFrame
        `benchmark`, `model`, `usd_per_pass`, `ci_lower`, `ci_upper`, `pass_rate`; infinite where nothing passed, drawn
        as an arrow from the lower end.
    ax : Axes, optional
    """
    rows = table.sort_values(["benchmark", "usd_per_pass"]).head(MAX_ROWS)
    ax = _axes(ax, 1.4 + 0.3 * len(rows), width=9.0)
    y = np.arange(len(rows))[::-1]
    finite = np.isfinite(rows["usd_per_pass"].to_numpy())
    ends = rows[["ci_lower", "ci_upper"]].to_numpy()
    ax.hlines(y[finite], ends[finite, 0], ends[finite, 1], color=INK, linewidth=2)
    ax.plot(rows["usd_per_pass"][finite], y[finite], "o", color=INK, label="USD per pass, 95 % interval")
    if (~finite).any():
        ax.plot(ends[~finite, 0], y[~finite], ">", color=BASELINE, label="nothing passed: at least this")
    for height, rate in zip(y, rows["pass_rate"], strict=True):
        ax.annotate(f"{rate:.0%} pass", (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8,
                    color=MUTED)  # fmt: skip
    ax.set_xscale("log")
    labels = [f"{row.benchmark}: {row.model}" for row in rows.itertuples()]
    _tidy(ax, y, labels, "USD per passed answer (left is better)", "Cost of pass")
    return ax


def plot_frontier(table: pd.DataFrame, benchmark: str, ax: Axes | None = None) -> Axes:
    """Score against cost of every model on one benchmark; the darker, the surer on the frontier.

    Parameters
    ----------
    table : DataFrame
        `benchmark`, `model`, `cost`, `score`, `probability`.
    benchmark : str
    ax : Axes, optional

    Raises
    ------
    InvalidInputError
        If the table has no such benchmark.
    """
    rows = table[table["benchmark"] == benchmark].sort_values("cost")
    if rows.empty:
        raise InvalidInputError(f"`table` has no benchmark {benchmark!r}; there is {sorted(set(table['benchmark']))}")
    ax = _axes(ax, 4.2, width=6.0)
    best = rows[rows["score"] > rows["score"].cummax().shift(fill_value=-np.inf)]
    ax.step(
        best["cost"], best["score"], where="post", color=FLOOR, linewidth=2, label="frontier of the means", zorder=1
    )
    ax.scatter(rows["cost"], rows["score"], c=rows["probability"], cmap="Blues", vmin=-0.25, vmax=1.0, s=150,
               edgecolors=INK, zorder=2, label="model; dark: surely on it")  # fmt: skip
    listed = []
    told = zip(*(rows[name].tolist() for name in ("model", "cost", "score", "probability")), strict=True)
    for number, (model, cost, score, probability) in enumerate(told, start=1):
        colour = "white" if probability > 0.5 else INK
        ax.annotate(str(number), (cost, score), fontsize=8, color=colour, ha="center", va="center")
        listed.append(f"{number} {model}, {probability:.0%}")
    ax.annotate("\n".join(["chance of being on it:", *listed]), (1.02, 1.0), xycoords="axes fraction", va="top",
                fontsize=8, color=MUTED, linespacing=1.5)  # fmt: skip
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.15)
    ax.set(xlabel="mean USD per query (left is better)", ylabel="mean score (up is better)")
    ax.set_title(str(benchmark), loc="left")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def plot_frontiers(table: pd.DataFrame) -> Figure:
    """`plot_frontier` of the first six benchmarks, side by side."""
    from matplotlib.figure import Figure

    benchmarks = sorted(table["benchmark"].unique())[:6]
    n_rows, n_columns = -(-len(benchmarks) // 2), min(len(benchmarks), 2)
    figure = Figure(figsize=(7.2 * n_columns, 4.0 * n_rows), layout="constrained")
    for place, benchmark in enumerate(benchmarks, start=1):
        plot_frontier(table, benchmark, figure.add_subplot(n_rows, n_columns, place))
    return figure


def plot_thinking_share(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of the output that is thinking, and where known of the bill, with 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        `benchmark`, `model`, `share_of_output`, `output_lower`, `output_upper`, `share_of_bill`, `bill_lower`,
        `bill_upper`.
    ax : Axes, optional
    """
    rows = table.sort_values(["model", "benchmark"]).head(2 * MAX_ROWS)
    ax = _axes(ax, 1.4 + 0.28 * len(rows), width=9.0)
    y = np.arange(len(rows))[::-1]
    for name, ends, shift, colour in (
        ("share_of_output", ["output_lower", "output_upper"], 0.14, INK),
        ("share_of_bill", ["bill_lower", "bill_upper"], -0.14, FLOOR),
    ):
        ax.hlines(y + shift, *rows[ends].clip(0, 1).to_numpy().T, color=colour, linewidth=2)
        ax.plot(
            rows[name], y + shift, "o", markersize=4, color=colour, label=name.replace("_", " ") + ", 95 % interval"
        )
    ax.set_xlim(-0.02, 1.02)
    ax.xaxis.set_major_formatter("{x:.0%}")
    _tidy(ax, y, [f"{row.model}: {row.benchmark}" for row in rows.itertuples()], "thinking", "Share of thinking")
    return ax


def plot_token_noise(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Spread of the runs of one request, in log tokens, by model and benchmark, with 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        `benchmark`, `model`, `standard_deviation`, `ci_lower`, `ci_upper`, `n_queries`.
    ax : Axes, optional
    """
    rows = table.sort_values("standard_deviation", ascending=False).head(2 * MAX_ROWS)
    ax = _axes(ax, 1.4 + 0.26 * len(rows), width=9.0)
    y = np.arange(len(rows))[::-1]
    ax.hlines(y, rows["ci_lower"], rows["ci_upper"], color=FLOOR, linewidth=6, alpha=0.45, label="95 % interval")
    ax.plot(rows["standard_deviation"], y, "|", color="black", markersize=10, label="noise floor")
    labels = [f"{row.model}: {row.benchmark}, {row.n_queries} queries" for row in rows.itertuples()]
    ax.set_xlim(left=0)
    _tidy(ax, y, labels, "standard deviation of one run, log tokens", "Noise of repeated requests")
    return ax


def plot_routing(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Quality against cost on held-out queries: routed at each budget, and the policies to beat.

    Parameters
    ----------
    table : DataFrame
        `policy`, `usd_per_query`, `quality`, `quality_lower`, `quality_upper`; the policies ``router`` and ``cascade``
        are drawn as lines, all others as points.
    ax : Axes, optional
    """
    ax = _axes(ax, 4.8, width=8.0)
    for policy, colour in (("router", INK), ("cascade", FLOOR)):
        rows = table[table["policy"] == policy].sort_values("usd_per_query")
        if len(rows):
            ax.fill_between(
                rows["usd_per_query"], rows["quality_lower"], rows["quality_upper"], color=colour, alpha=0.15
            )
            ax.plot(
                rows["usd_per_query"], rows["quality"], "o-", color=colour, markersize=4, label=f"{policy}, 95 % band"
            )
    others = table[~table["policy"].isin(["router", "cascade"])]
    ax.vlines(others["usd_per_query"], others["quality_lower"], others["quality_upper"], color=BASELINE)
    ax.plot(others["usd_per_query"], others["quality"], "D", color=BASELINE, markersize=5)
    for place, row in enumerate(others.sort_values("usd_per_query").itertuples()):
        ax.annotate(str(row.policy), (row.usd_per_query, row.quality), fontsize=8, color=MUTED,
                    xytext=(6, 6 if place % 2 else -12), textcoords="offset points")  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlabel="USD per query (left is better)", ylabel="mean score (up is better)")
    ax.set_title("Budgeted routing on held-out queries", loc="left")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, loc="lower right", fontsize=8)
    return ax


def _tidy(ax: Axes, y: np.ndarray, labels: list[str], xlabel: str, title: str) -> None:
    ax.set_yticks(y, labels, fontsize=8)
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.set_xlabel(xlabel)
    ax.set_title(title, loc="left")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.figure.legend(frameon=False, loc="outside lower center", ncols=5, fontsize=8)
