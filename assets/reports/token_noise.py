"""How much one and the same request varies: the noise floor of output tokens, by model and benchmark."""

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Table
from foretell.assets.lake.traces.across_days import query_bundles
from foretell.assets.reports.runs import TracePart, merge_groups, trace_parts
from foretell.assets.reports.spec import Report, ReportSpec

if TYPE_CHECKING:
    from foretell.predictors.metrics import CellSums

CELL = ["query_id", "model", "config_hash"]
GROUP = ["benchmark", "model", "effort"]
READ = [*CELL, "benchmark", "reasoning_effort", "output_tokens", "is_censored"]
Group: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class _Noise:
    """Noise of a benchmark, model and effort in some parts or in all; `spans` is most over least of each request."""

    mae: "CellSums"
    mse: "CellSums"
    spans: NDArray[np.float64]

    def merge(self, other: "_Noise") -> "_Noise":
        """Noise of both, which must share no query."""
        spans = np.concatenate([self.spans, other.spans])
        return _Noise(self.mae.merge(other.mae), self.mse.merge(other.mse), spans)

    def row(self) -> dict[str, object]:
        """See `token_noise_report`."""
        from foretell.predictors.metrics import MAE_FLOOR, MSE_FLOOR, noise_floor

        absolute, square = noise_floor(self.mae, MAE_FLOOR, "mae"), noise_floor(self.mse, MSE_FLOOR, "mse")
        spread, *ends = (float(np.sqrt(max(x, 0.0))) for x in (square.value, square.ci_lower, square.ci_upper))
        return {
            "standard_deviation": spread, "ci_lower": ends[0], "ci_upper": ends[1], "mae_floor": absolute.value,
            "mae_floor_source": absolute.method, "factor_95": float(np.exp(1.96 * spread)),
            "largest_over_least_median": float(np.median(self.spans)),
            "largest_over_least_max": float(self.spans.max()),
            "n_queries": self.mse.n_queries, "n_replicates": self.mse.n_runs,
        }  # fmt: skip


def token_noise_report(traces: pd.DataFrame | Table, price_file: Path | None = None) -> Report:
    """One row per benchmark, model and effort that has repeated requests; runs that were cut off are left out.

    `standard_deviation` is of one run around its request's mean, in log tokens (root of the floor of squared error);
    `mae_floor` needs four runs of a request. All runs of a query come together on the engine, in narrow columns; of
    them sums come here, and one number for each repeated request, of which the median is taken.
    """
    del price_file  # tokens, not dollars
    engine, parts = trace_parts(traces)
    bundles = engine.group(_runs, parts, "bundle", _noise_of_bundle)
    groups: dict[Group, _Noise] = reduce(merge_groups, (noise for noise, _ in bundles), {})
    rows = [dict(zip(("benchmark", "model", "reasoning_effort"), group, strict=True)) | found.row()
            for group, found in sorted(groups.items())]  # fmt: skip
    models = frozenset().union(*(models for _, models in bundles))
    without = models - {model for _, model, _ in groups}
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


def _runs(part: TracePart) -> pd.DataFrame:
    """Runs of a part that were not cut off, without any text."""
    traces = part.read(READ)
    traces = traces[~traces["is_censored"]]
    return pd.DataFrame(
        {
            "bundle": query_bundles(traces["query_id"]),
            **{name: traces[name] for name in CELL},
            "benchmark": traces["benchmark"].fillna("(none)").astype("str"),
            "effort": traces["reasoning_effort"].fillna("(none)").astype("str"),
            "value": traces["output_tokens"].astype("float64").clip(lower=1),
        }
    )


def _noise_of_bundle(runs: pd.DataFrame) -> tuple[dict[Group, _Noise], frozenset[str]]:
    """Noise of the runs of some queries, of which all are here, and which models they are of."""
    from foretell.predictors.metrics import MAE_FLOOR, MSE_FLOOR, floor_sums, group_replicates

    runs = runs.assign(cell_id=runs.groupby(CELL, sort=False).ngroup())
    repeated = runs[runs.duplicated("cell_id", keep=False)]
    found: dict[Group, _Noise] = {}
    for (benchmark, model, effort), part in repeated.groupby(GROUP):
        cells = group_replicates(part[["cell_id", "query_id", "value"]], "log")
        of_cell = part.groupby("cell_id", sort=False)["value"]
        spans = (of_cell.max() / of_cell.min()).to_numpy()
        found[str(benchmark), str(model), str(effort)] = _Noise(
            floor_sums(cells, MAE_FLOOR), floor_sums(cells, MSE_FLOOR), spans
        )
    return found, frozenset(runs["model"])


SPEC = ReportSpec(
    "token_noise",
    "The noise floor of output tokens",
    "One row per benchmark, model and effort: how far runs of one request lie apart, in log tokens.",
    token_noise_report,
    "plot_token_noise",
)
