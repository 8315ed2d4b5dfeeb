"""Figures of the reports about request traces: prices, passes, frontiers, thinking, noise, routing.

As in `plots.evaluations`: drawn from finished tables, ``ax=None`` makes a figure, saving is the caller's job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .evaluations import BASELINE, FLOOR, INK, MUTED, intervals, listed, new_axes, side_notes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 40
SPEND_DAYS = 60
FACTOR_COLOURS = {"price": "#7f7f7f", "thinking": "#c0504d", "answer": "#4f81bd", "prompt": "#9bbb59"}


def plot_price_reversals(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What made the model that is listed cheaper dearer: log cost ratio of every reversal, by cause.

    `pairs` has `benchmark`, `cheaper`, `dearer`, `log_ratio`, `status`, `is_reversed` and ``<factor>_log_ratio`` for
    price, thinking, answer and prompt, which add up to `log_ratio`. The 40 largest reversals are drawn.
    """
    rows = pairs[pairs["is_reversed"]].sort_values("log_ratio", ascending=False).head(MAX_ROWS)
    marks = {"reversed": "", "unresolved": " (unresolved)"}
    labels = [
        f"{row.benchmark}: {row.cheaper} over {row.dearer}{marks.get(str(row.status), '')}" for row in rows.itertuples()
    ]
    title = f"Reversals, {len(rows)} of {int(pairs['is_reversed'].sum())}: listed cheaper, billed dearer"
    ax, y = listed(ax, labels, "cost over that of the model that is listed dearer, by cause", title, width=11.0)
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for factor, colour in FACTOR_COLOURS.items():
        part = rows[f"{factor}_log_ratio"].to_numpy(dtype=np.float64)
        start = np.where(part >= 0, right, left)
        ax.barh(y, part, left=start, height=0.7, color=colour, alpha=0.85, label=factor)
        right, left = right + np.maximum(part, 0.0), left + np.minimum(part, 0.0)
    ax.plot(rows["log_ratio"], y, "D", color="black", markersize=4, label="cost ratio")
    ax.axvline(0, color="black", linewidth=0.8)
    ratios = np.array([0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64])
    inside = (np.log(ratios) >= left.min(initial=0.0) - 0.1) & (np.log(ratios) <= right.max(initial=0.0) + 0.1)
    ax.set_xticks(np.log(ratios[inside]), [f"{ratio:g}x" for ratio in ratios[inside]])
    return tidy(ax)


def plot_cost_of_pass(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Dollars per passed answer (`usd_per_pass`) with 95 % intervals, by benchmark and model, and the `pass_rate`.

    Infinite where nothing passed, drawn as an arrow from the lower end.
    """
    rows = table.sort_values(["benchmark", "usd_per_pass"]).head(MAX_ROWS)
    labels = rows["benchmark"] + ": " + rows["model"]
    ax, y = listed(ax, labels, "USD per passed answer (left is better)", "Cost of pass", width=9.0)
    finite = np.isfinite(rows["usd_per_pass"].to_numpy())
    passed = rows[finite]
    intervals(ax, y[finite], passed[["ci_lower", "ci_upper"]], passed["usd_per_pass"], "USD per pass, 95 % interval")
    if (~finite).any():
        ax.plot(rows["ci_lower"][~finite], y[~finite], ">", color=BASELINE, label="nothing passed: at least this")
    side_notes(ax, y, rows["pass_rate"].map("{:.0%} pass".format))
    ax.set_xscale("log")
    return tidy(ax)


def _frontier(rows: pd.DataFrame, ax: Axes) -> None:
    """`score` against `cost` of every model on one benchmark; the darker, the surer on the frontier (`probability`)."""
    best = rows[rows["score"] > rows["score"].cummax().shift(fill_value=-np.inf)]
    ax.step(
        best["cost"], best["score"], where="post", color=FLOOR, linewidth=2, label="frontier of the means", zorder=1
    )
    ax.scatter(rows["cost"], rows["score"], c=rows["probability"], cmap="Blues", vmin=-0.25, vmax=1.0, s=150,
               edgecolors=INK, zorder=2, label="model; dark: surely on it")  # fmt: skip
    listed = []
    models = zip(*(rows[name].tolist() for name in ("model", "cost", "score", "probability")), strict=True)
    for number, (model, cost, score, probability) in enumerate(models, start=1):
        colour = "white" if probability > 0.5 else INK
        ax.annotate(str(number), (cost, score), fontsize=8, color=colour, ha="center", va="center")
        listed.append(f"{number} {model}, {100 * probability:.0f} %")
    ax.annotate("\n".join(["chance of being on it:", *listed]), (1.02, 1.0), xycoords="axes fraction", va="top",
                fontsize=8, color=MUTED, linespacing=1.5)  # fmt: skip
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.15)
    ax.set(xlabel="mean USD per query (left is better)", ylabel="mean score (up is better)")
    ax.set_title(str(rows["benchmark"].iloc[0]), loc="left")
    ax.legend(frameon=False, fontsize=8, loc="lower right")


def plot_frontiers(table: pd.DataFrame) -> Figure:
    """Frontiers of cost and score of the first six benchmarks, side by side."""
    from matplotlib.figure import Figure

    benchmarks = sorted(table["benchmark"].unique())[:6]
    n_rows, n_columns = -(-len(benchmarks) // 2), min(len(benchmarks), 2)
    figure = Figure(figsize=(7.2 * n_columns, 4.0 * n_rows), layout="constrained")
    for place, benchmark in enumerate(benchmarks, start=1):
        rows = table[table["benchmark"] == benchmark].sort_values("cost")
        _frontier(rows, figure.add_subplot(n_rows, n_columns, place))
    return figure


def plot_thinking_share(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of the output that is thinking, and where known of the bill, with 95 % intervals."""
    rows = table.sort_values(["model", "benchmark"]).head(2 * MAX_ROWS)
    ax, y = listed(ax, rows["model"] + ": " + rows["benchmark"], "thinking", "Share of thinking", width=9.0)
    for name, shift, color in (("output", 0.14, INK), ("bill", -0.14, FLOOR)):
        ends = rows[[f"{name}_lower", f"{name}_upper"]].clip(0, 1)
        intervals(ax, y + shift, ends, rows[f"share_of_{name}"], f"share of {name}, 95 % interval", color)
    ax.set_xlim(-0.02, 1.02)
    ax.xaxis.set_major_formatter("{x:.0%}")
    return tidy(ax)


def plot_token_noise(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Spread of the runs of one request, in log tokens, by model and benchmark, with 95 % intervals."""
    rows = table.sort_values("standard_deviation", ascending=False).head(2 * MAX_ROWS)
    columns = [name for name in ("model", "benchmark", "reasoning_effort") if name in rows]
    labels = rows[columns].agg(", ".join, axis=1) + rows["n_queries"].map(", {} queries".format)
    xlabel = "standard deviation of one run, log tokens"
    ax, y = listed(ax, labels, xlabel, "Noise of repeated requests", width=9.0)
    ax.hlines(y, rows["ci_lower"], rows["ci_upper"], color=FLOOR, linewidth=6, alpha=0.45, label="95 % interval")
    ax.plot(rows["standard_deviation"], y, "|", color="black", markersize=10, label="noise floor")
    ax.set_xlim(left=0)
    return tidy(ax)


def plot_eval_differences(comparisons: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Pairs of `metrics.compare_systems`, the first 40: the difference, its interval, and what could not be seen."""
    rows = comparisons.head(MAX_ROWS)
    labels = [f"{row.a} - {row.b}\n{row.verdict}" for row in rows.itertuples()]
    xlabel = "difference of scores (right: the first is better)"
    ax, y = listed(ax, labels, xlabel, "Paired differences of evals", width=9.0)
    margin = float(rows["margin"].iloc[0])
    ax.axvspan(-margin, margin, color=FLOOR, alpha=0.25, linewidth=0, label=f"does not matter (within {margin:.3g})")
    mde = rows["minimum_detectable_effect"].to_numpy(dtype=np.float64)
    ax.barh(y, 2 * mde, left=-mde, height=0.6, color="#dddddd", zorder=0,
            label="too small to be found here (80 % power)")  # fmt: skip
    intervals(ax, y, rows[["ci_lower", "ci_upper"]], rows["difference"], "difference, 95 % interval")
    ax.axvline(0, color="black", linewidth=0.8)
    return tidy(ax)


def plot_lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    band: tuple[str, str] | None = None,
) -> Axes:
    """Lines of `y` over `x` (logarithmic), one for every value of `by`, with a band where its columns are named."""
    ax = new_axes(None, 4.5)
    for name, rows in table.groupby(by, sort=False):
        (line,) = ax.plot(rows[x], rows[y], "o-", markersize=3, label=str(name))
        if band is not None:
            ax.fill_between(rows[x], rows[band[0]], rows[band[1]], color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_title(title, loc="left")
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_routing(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Quality against cost on held-out queries: the policy ``router`` at each budget as a line, and those to beat."""
    ax = new_axes(ax, 4.8, width=8.0)
    rows = table[table["policy"] == "router"].sort_values("usd_per_query")
    ax.fill_between(rows["usd_per_query"], rows["quality_lower"], rows["quality_upper"], color=INK, alpha=0.15)
    ax.plot(rows["usd_per_query"], rows["quality"], "o-", color=INK, markersize=4, label="router, 95 % band")
    others = table[table["policy"] != "router"]
    ax.vlines(others["usd_per_query"], others["quality_lower"], others["quality_upper"], color=BASELINE)
    ax.plot(others["usd_per_query"], others["quality"], "D", color=BASELINE, markersize=5)
    for place, row in enumerate(others.sort_values("usd_per_query").itertuples()):
        ax.annotate(str(row.policy), (row.usd_per_query, row.quality), fontsize=8, color=MUTED,
                    xytext=(6, 6 if place % 2 else -12), textcoords="offset points")  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlabel="USD per query (left is better)", ylabel="mean score (up is better)")
    ax.set_title("Budgeted routing on held-out queries", loc="left")
    return tidy(ax)


def plot_quotes(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What batches came to (`actual`, null: not run yet) over the quoted median, within the quoted 90 % intervals."""
    rows = table[table["median"] > 0].sort_values("made_at").tail(MAX_ROWS)
    labels = [f"{str(row.made_at)[:10]} {row.model}, {row.stage}" for row in rows.itertuples()]
    ax, y = listed(ax, labels, "over the quoted median", "Quotes and what the batches came to", width=9.0)
    ends = [(rows[name] / rows["median"]).to_numpy(dtype=np.float64) for name in ("lower_90", "upper_90", "actual")]
    ax.hlines(y, ends[0], ends[1], color=BASELINE, linewidth=6, alpha=0.5, label="quoted, 90 %")
    ax.plot(ends[2], y, "D", color=INK, markersize=5, label="came to")
    ax.axvline(1, color=MUTED, linewidth=0.8)
    ax.set_xscale("log")
    limits = ax.get_xlim()
    steps = [factor * 10.0**power for power in range(-6, 7) for factor in (1, 3)]
    ratios = [ratio for ratio in steps if limits[0] < ratio < limits[1]]
    ax.set_xticks(ratios, [f"{ratio:g}x" for ratio in ratios])
    ax.minorticks_off()
    return tidy(ax)


def plot_spend(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Dollars of the last 60 days, stacked by project: the four dearest, and the rest in one."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    days = pd.to_datetime(table["day"])
    usd = table.pivot_table(index=days, columns="project", values="usd", aggfunc="sum", fill_value=0.0)
    usd = usd.resample("D").sum().tail(SPEND_DAYS)
    dearest = usd.sum().sort_values(ascending=False).index
    bars = usd[dearest[:4]].assign(**{f"{len(dearest) - 4} more": usd[dearest[4:]].sum(axis=1)}).iloc[:, : len(dearest)]
    ax = new_axes(ax, 4.2, width=9.0)
    tops = bars.cumsum(axis=1)
    for name, colour in zip(bars, (INK, FLOOR, "#c0504d", "#9bbb59", "#8c8c8c"), strict=False):
        ax.bar(bars.index.to_numpy(), bars[name], bottom=tops[name] - bars[name], color=colour, label=str(name))
    ax.yaxis.set_major_formatter("${x:,.6g}")
    locator = AutoDateLocator(minticks=1, maxticks=8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    ax.set(xlabel="UTC day", ylabel="USD")
    ax.set_title("Spend by day and project", loc="left")
    return tidy(ax)
