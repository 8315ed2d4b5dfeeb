"""The floor of outcomes that carry a standard error of their own: scores of finite benchmarks, means of seeds."""

import numpy as np
import pandas as pd

from foretell.assets.judging.family import Segments
from foretell.predictors.metrics.segments import ToldSegments, columns_of_segments, places_by_segment, segment_name


def add_noise_floors(
    table: pd.DataFrame, outcomes: pd.DataFrame, segments: Segments = (), told: ToldSegments | None = None
) -> pd.DataFrame:
    """Fill the floor of the mean absolute error in every segment of which all outcomes bring a standard error.

    A score with normal noise of standard error s has an absolute error of ``s sqrt(2 / pi)`` even to a perfect
    forecast. The interval of the excess joins the unfavourable ends of both intervals, and is wider than 95 %.

    `table` are Evaluation rows of one predictor and split, `outcomes` what they were made from: `query_id`,
    `standard_error` in the unit of the error, and the columns of the `segments`, of which those `told` are told one by
    one. Floors are in the unit of the outcomes.
    """
    from foretell.predictors.metrics import mean_estimate

    out = table.copy()
    all_errors = outcomes["standard_error"].to_numpy(dtype="float64")
    places = places_by_segment(outcomes, columns_of_segments(segments), told or {})
    by_name = {segment_name(segment): rows for segment, rows in places.items()}
    for at in out.index[out["metric"] == "mae"]:
        segment = str(out.loc[at, "segment"])
        if segment.endswith(",replicated"):
            continue  # repeats tell the floor there
        errors = all_errors[by_name[segment]]
        if np.isnan(errors).any():
            continue
        codes, names = pd.factorize(outcomes["query_id"].iloc[by_name[segment]])
        floor = mean_estimate(errors * np.sqrt(2 / np.pi), codes, len(names))
        lower, upper = floor.interval()
        row = out.loc[at]
        excess = row["value"] - floor.value, row["ci_lower"] - upper, row["ci_upper"] - lower
        out.loc[at, ["noise_floor", "floor_ci_lower", "floor_ci_upper"]] = [floor.value, lower, upper]
        out.loc[at, ["excess_error", "excess_ci_lower", "excess_ci_upper"]] = excess
        out.loc[at, "floor_source"] = "model"
    return out
