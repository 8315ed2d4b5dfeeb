"""The mean log density of the outcomes: a row of the Evaluation table for forecasts that are densities."""

from collections.abc import Mapping

import pandas as pd

from foretell.assets.judging.family import Segments
from foretell.predictors.metrics.segments import ToldSegments, columns_of_segments, places_by_segment, segment_name


def likelihood_rows(
    outcomes: pd.DataFrame,
    density: pd.Series,
    baseline: tuple[str, pd.Series] | None,
    *,
    segments: Segments,
    told: ToldSegments,
    names: Mapping[str, str],
) -> pd.DataFrame:
    """Rows of the metric ``log_likelihood``, in nats per unit of the outcome: higher is better, and so is its gain.

    `outcomes` are one run of each cell: `cell_id`, `query_id` and the columns of `segments`, of which those `told` are
    told one by one, and null is none. `density` is the log
    density at the outcomes in nats, index `cell_id`; `baseline` the name of another forecast, and its own. `names` are
    `predictor`, `family`, `dataset` and `split` of the rows.
    """
    from foretell.predictors.metrics import mean_estimate
    from foretell.predictors.schemas import as_evaluation

    rows: list[dict[str, object]] = []
    for segment, places in places_by_segment(outcomes, columns_of_segments(segments), told).items():
        if any(value is None for _, value in segment):
            continue
        part = outcomes.iloc[places]
        codes, queries = pd.factorize(part["query_id"])
        value = mean_estimate(density.loc[part["cell_id"]].to_numpy(), codes, len(queries))
        lower, upper = value.interval()
        rows.append({
            **names, "segment": segment_name(segment), "metric": "log_likelihood", "value": value.value,
            "ci_lower": lower, "ci_upper": upper, "floor_source": "none: the entropy of the outcome is not known",
            "n_queries": len(queries), "n_replicates": len(part),
        })  # fmt: skip
        if baseline is not None:
            other = mean_estimate(baseline[1].loc[part["cell_id"]].to_numpy(), codes, len(queries))
            gain = value - other
            lower, upper = gain.interval()
            rows[-1] |= {"baseline": baseline[0], "baseline_value": other.value, "gain": gain.value}
            rows[-1] |= {"gain_ci_lower": lower, "gain_ci_upper": upper}
    return as_evaluation(rows)
