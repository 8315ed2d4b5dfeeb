"""The mean log density of the outcomes: a row of the Evaluation table for forecasts that are densities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from foretell.assets.judging.family import Segments


def likelihood_rows(
    outcomes: pd.DataFrame,
    density: pd.Series,
    baseline: tuple[str, pd.Series] | None,
    *,
    segments: Segments,
    names: Mapping[str, str],
) -> pd.DataFrame:
    """Rows of the metric ``log_likelihood``, in nats per unit of the outcome: higher is better, and so is its gain.

    Parameters
    ----------
    outcomes : DataFrame of shape (n_cells, n_columns)
        One run of each cell: `cell_id`, `query_id` and the columns of the segments.
    density : Series of shape (n_cells,)
        Log density at the outcomes in nats, index `cell_id`.
    baseline : (str, Series), optional
        Name of the baseline, and its log density.
    segments : tuple of str or of tuple of str
        Columns whose values make segments.
    names : mapping of str to str
        `predictor`, `family`, `dataset` and `split` of the rows.
    """
    from foretell.predictors.schemas import as_evaluation

    rows: list[dict[str, object]] = []
    for segment, part in _parts(outcomes, segments):
        codes, queries = pd.factorize(part["query_id"])
        mine = density.loc[part["cell_id"]].to_numpy()
        rows.append({
            **names, "segment": segment, "metric": "log_likelihood",
            **_numbers(mine, codes, len(queries)),
            "floor_source": "none: the entropy of the outcome is not known",
            "n_queries": len(queries), "n_replicates": len(part),
        })  # fmt: skip
        if baseline is not None:
            called, others = baseline
            rows[-1] |= _gain(called, mine, others.loc[part["cell_id"]].to_numpy(), codes)
    return as_evaluation(rows)


def _parts(outcomes: pd.DataFrame, segments: Segments) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", outcomes
    for keys in segments:
        columns = [keys] if isinstance(keys, str) else list(keys)
        for values, part in outcomes.groupby(columns, sort=False):
            yield ",".join(f"{name}={value}" for name, value in zip(columns, values, strict=True)), part


def _numbers(density: np.ndarray, codes: np.ndarray, n_queries: int) -> dict[str, object]:
    from foretell.predictors.metrics import mean_estimate

    value = mean_estimate(density, codes, n_queries)
    lower, upper = value.interval()
    return {"value": value.value, "ci_lower": lower, "ci_upper": upper}


def _gain(name: str, density: np.ndarray, baseline: np.ndarray, codes: np.ndarray) -> dict[str, object]:
    from foretell.predictors.metrics import mean_estimate

    n_queries = int(codes.max()) + 1
    other = mean_estimate(baseline, codes, n_queries)
    gain = mean_estimate(density, codes, n_queries) - other
    lower, upper = gain.interval()
    return {
        "baseline": name, "baseline_value": other.value, "gain": gain.value, "gain_ci_lower": lower,
        "gain_ci_upper": upper,
    }  # fmt: skip
