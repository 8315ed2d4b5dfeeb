"""How much one and the same request varies: the noise floor of output tokens, by model and benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from assets.engine import Table
from assets.reports.report import Report, ReportSpec, build_report_asset
from assets.reports.run_sums import in_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SPEC", "token_noise_report", "token_noise_report_asset"]


def token_noise_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark, model and effort that has repeated requests; runs that were cut off are left out.

    `standard_deviation` is of one run around its request's mean, in log tokens (root of `metrics.mse_floor`);
    `mae_floor` needs four runs of a request.
    """
    from predictors.metrics import mae_floor, mse_floor

    del price_file  # tokens, not dollars
    traces = in_memory(traces)
    runs = traces.assign(
        benchmark=traces["benchmark"].fillna("(none)"),
        effort=traces["reasoning_effort"].fillna("(none)"),
        cell_id=traces["query_id"] + "|" + traces["model"] + "|" + traces["config_hash"],
        value=traces["output_tokens"].astype("float64").clip(lower=1),
    )
    runs = runs[~runs["is_censored"]]
    size = runs.groupby("cell_id")["cell_id"].transform("size")
    repeated = runs[size >= 2]
    rows = []
    for (benchmark, model, effort), part in repeated.groupby(["benchmark", "model", "effort"], sort=True):
        told = part[["cell_id", "query_id", "value"]]
        absolute, square = mae_floor(told, scale="log"), mse_floor(told, scale="log")
        spread, *ends = (float(np.sqrt(max(x, 0.0))) for x in (square.value, square.ci_lower, square.ci_upper))
        times = part.groupby("cell_id")["value"].agg(lambda v: v.max() / v.min())
        rows.append(
            {
                "benchmark": benchmark, "model": model, "reasoning_effort": effort, "standard_deviation": spread,
                "ci_lower": ends[0], "ci_upper": ends[1], "mae_floor": absolute.value,
                "mae_floor_source": absolute.method, "factor_95": float(np.exp(1.96 * spread)),
                "largest_over_least_median": float(times.median()), "largest_over_least_max": float(times.max()),
                "n_queries": part["query_id"].nunique(), "n_replicates": len(part),
            }
        )  # fmt: skip
    without = set(runs["model"]) - set(repeated["model"])
    reasons = (
        [f"{len(without)} models have no request that was sent twice: their noise is not known."] if without else []
    )
    if not rows:
        return Report(pd.DataFrame(), reasons=("No request was sent twice: repeat some to learn the noise floor.",))
    table = pd.DataFrame(rows).sort_values("standard_deviation", ignore_index=True)
    middle, worst = table.iloc[len(table) // 2], table.iloc[int(table["largest_over_least_max"].argmax())]
    findings = (
        f"In the middle group a run lies within a factor of {middle['factor_95']:.2f} of its request's typical length, "
        f"19 times of 20: no forecast of a single run can do better.",
        f"The most that one request has varied: {worst['largest_over_least_max']:.1f} times, {worst['model']} on "
        f"{worst['benchmark']}.",
    )
    return Report(table, {}, findings, tuple(reasons))


def _draw(report: Report) -> "Figure":
    from predictors.report_plots import plot_token_noise

    figure = plot_token_noise(report.table).get_figure(root=True)
    assert figure is not None
    return figure


SPEC = ReportSpec(
    "token_noise",
    "The noise floor of output tokens",
    "One row per benchmark, model and effort: how far runs of one request lie apart, in log tokens.",
    token_noise_report,
    _draw,
)
token_noise_report_asset = build_report_asset(SPEC)
