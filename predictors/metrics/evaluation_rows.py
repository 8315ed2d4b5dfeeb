"""A row of the Evaluation table from its estimates, whether these come from a whole table or from sums of parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from predictors.metrics.cell_losses import Metric
from predictors.metrics.clusters import AnyEstimate, Estimate, wilson_interval
from predictors.metrics.comparison import detectable_effect
from predictors.metrics.partials import MergedEstimate

__all__ = ["SegmentEstimates", "evaluation_row"]

E = TypeVar("E", Estimate, MergedEstimate)


@dataclass(frozen=True)
class SegmentEstimates(Generic[E]):
    """What is known of one metric in one segment.

    Attributes
    ----------
    value : Estimate or MergedEstimate
        Mean loss over cells.
    baseline, floor : same, or None
        Mean loss of the baseline, and the noise floor, where there is one.
    floor_source : str
        Where the floor comes from, or ``none: <reason>``.
    n_queries, n_replicates : int
        Queries and runs.
    """

    value: E
    baseline: E | None
    floor: E | None
    floor_source: str
    n_queries: int
    n_replicates: int


def evaluation_row(metric: Metric, found: SegmentEstimates[E]) -> dict[str, object]:
    """The numbers of one row of the Evaluation table: value, floor, excess, gain and skill with their intervals."""
    value, floor, base = found.value, found.floor, found.baseline
    ends = wilson_interval(value) if metric.kind == "coverage" else value.interval()
    row: dict[str, object] = {
        "value": value.value, "ci_lower": ends[0], "ci_upper": ends[1], "floor_source": found.floor_source,
        "n_queries": found.n_queries, "n_replicates": found.n_replicates,
    }  # fmt: skip
    if floor is not None:
        row |= _columns("noise_floor", "floor", floor, skew_corrected=metric.kind == "mse")
        row |= _columns("excess_error", "excess", value - floor)
    if base is None:
        return row
    row["baseline_value"] = base.value
    if not metric.is_loss:
        return row
    gain = base - value
    row |= {**_columns("gain", "gain", gain), "gain_mde": detectable_effect(gain)}
    return row | _skill(gain, base, floor)


def _skill(gain: E, base: E, floor: E | None) -> dict[str, object]:
    if floor is None:
        return {"skill_note": "no floor"}
    removable = base - floor
    lower, _ = removable.interval()
    if np.isnan(lower):
        return {"skill_note": "one query: no interval"}
    if lower <= 0:
        return {"skill_note": "no skill to be had: the baseline's error is not above the floor for certain"}
    return _columns("skill", "skill", gain / removable)


def _columns(name: str, prefix: str, estimate: AnyEstimate, *, skew_corrected: bool = False) -> dict[str, object]:
    lower, upper = estimate.interval(skew_corrected=skew_corrected)
    return {name: estimate.value, f"{prefix}_ci_lower": lower, f"{prefix}_ci_upper": upper}
