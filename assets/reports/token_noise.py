"""How much one and the same request varies: the noise floor of output tokens, by model and benchmark."""

from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.reports.runs import draw_queries, pooled
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.predictors.metrics import MAE_FLOOR, MSE_FLOOR, floor_sums, group_replicates, noise_floor

CELL = ["query_id", "model", "config_hash"]
GROUP = ["benchmark", "model", "reasoning_effort"]
READ = ["config_hash", *GROUP, "output_tokens", "is_censored"]


def token_noise_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark, model and effort that has repeated requests; runs that were cut off are left out.

    `standard_deviation` is of one run around its request's mean, in log tokens (root of the floor of squared error);
    `mae_floor` needs four runs of a request.
    """
    del price_file  # tokens, not dollars
    drawn = draw_queries(traces, READ)
    runs = drawn.rows[~drawn.rows["is_censored"]]
    runs = runs.assign(
        value=runs["output_tokens"].astype("float64").clip(lower=1), cell_id=runs.groupby(CELL, sort=False).ngroup(),
        **{name: runs[name].fillna("(none)").astype("str") for name in ("benchmark", "reasoning_effort")},
    )  # fmt: skip
    repeated, reasons = runs[runs.duplicated("cell_id", keep=False)], drawn.reasons()
    without = set(runs["model"]) - set(repeated["model"])
    repeated = pooled(repeated, GROUP, reasons)
    rows = [dict(zip(GROUP, group, strict=True)) | _noise(part) for group, part in repeated.groupby(GROUP)]
    if not rows:
        return Report(pd.DataFrame(), reasons=("No request was sent twice: repeat some to learn the noise floor.",))
    if without:
        reasons.append(f"{len(without)} models have no request that was sent twice: their noise is not known.")
    table = pd.DataFrame(rows).sort_values("standard_deviation", ignore_index=True)
    middle, worst = table.iloc[len(table) // 2], table.iloc[int(table["largest_over_least_max"].argmax())]
    findings = (
        f"In the middle group a run lies within a factor of {middle['factor_95']:.2f} of its request's typical length, "
        f"19 times of 20: no forecast of a single run can do better.",
        f"The most that one request has varied: {worst['largest_over_least_max']:.1f} times, {worst['model']} on "
        f"{worst['benchmark']}.",
    )
    return Report(table, {}, findings, tuple(reasons))


def _noise(runs: pd.DataFrame) -> dict[str, object]:
    """See `token_noise_report`."""
    cells = group_replicates(runs[["cell_id", "query_id", "value"]], "log")
    absolute, square = (noise_floor(floor_sums(cells, kind), kind, name) for kind, name in
                        ((MAE_FLOOR, "mae"), (MSE_FLOOR, "mse")))  # fmt: skip
    spread, *ends = (float(np.sqrt(max(x, 0.0))) for x in (square.value, square.ci_lower, square.ci_upper))
    of_cell = runs.groupby("cell_id", sort=False)["value"]
    spans = of_cell.max() / of_cell.min()
    return {
        "standard_deviation": spread, "ci_lower": ends[0], "ci_upper": ends[1], "mae_floor": absolute.value,
        "mae_floor_source": absolute.method, "factor_95": float(np.exp(1.96 * spread)),
        "largest_over_least_median": float(spans.median()), "largest_over_least_max": float(spans.max()),
        "n_queries": square.n_queries, "n_replicates": square.n_replicates,
    }  # fmt: skip


SPEC = ReportSpec(
    "token_noise",
    "The noise floor of output tokens",
    "One row per benchmark, model and effort: how far runs of one request lie apart, in log tokens.",
    token_noise_report,
    "plot_token_noise",
)
