"""The floor of outcomes that carry a standard error of their own: scores of finite benchmarks, means of seeds."""

import numpy as np
import pandas as pd


def add_noise_floors(table: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Fill the floor of the mean absolute error in every segment of which all outcomes bring a standard error.

    A score with normal noise of standard error s has an absolute error of ``s sqrt(2 / pi)`` even to a perfect
    forecast. The interval of the excess joins the unfavourable ends of both intervals, and is wider than 95 %.

    `table` are Evaluation rows of one predictor and split, `outcomes` what they were made from: `query_id`,
    `standard_error` in the unit of the error, and the columns of the segments. Floors are in the unit of the outcomes.
    """
    from foretell.predictors.metrics import mean_estimate

    out = table.copy()
    for at in out.index[out["metric"] == "mae"]:
        segment = str(out.loc[at, "segment"])
        if segment.endswith(",replicated"):
            continue  # repeats tell the floor there
        rows = _rows_of(outcomes, segment)
        errors = rows["standard_error"].to_numpy(dtype="float64")
        if np.isnan(errors).any():
            continue
        codes, names = pd.factorize(rows["query_id"])
        floor = mean_estimate(errors * np.sqrt(2 / np.pi), codes, len(names))
        lower, upper = floor.interval()
        row = out.loc[at]
        excess = row["value"] - floor.value, row["ci_lower"] - upper, row["ci_upper"] - lower
        out.loc[at, ["noise_floor", "floor_ci_lower", "floor_ci_upper"]] = [floor.value, lower, upper]
        out.loc[at, ["excess_error", "excess_ci_lower", "excess_ci_upper"]] = excess
        out.loc[at, "floor_source"] = "model"
    return out


def _rows_of(outcomes: pd.DataFrame, segment: str) -> pd.DataFrame:
    """The outcomes of a segment, named as in the Evaluation table: ``all`` or ``column=value,column=value``."""
    if segment == "all":
        return outcomes
    keep = pd.Series(True, index=outcomes.index)
    for part in segment.split(","):
        column, _, value = part.partition("=")
        names = outcomes[column].astype("str").where(outcomes[column].notna(), "null")
        keep &= names == value
    return outcomes[keep]
