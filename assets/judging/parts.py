"""Runs of a split that are judged part by part: forecasts, losses and sums are made wherever the engine is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

from foretell.assets.engine import Engine, current_engine
from foretell.assets.judging.family import columns_of
from foretell.assets.judging.pipeline import CELLS_IN_PARTS
from foretell.predictors.base import EVALUATION_LEVELS

if TYPE_CHECKING:
    from foretell.predictors.metrics import PartialEvaluation

CELLS_AT_ONCE = 10_000
"""Cells of a part that is judged on its own. Parts are cut by size alone: a text model forecasts in single precision,
and its forecasts differ in the seventh digit with what is forecast beside them."""
RUN = ("cell_id", "query_id", "value", "replicate", "response_id", "repeat_prob")
"""What an evaluation reads of a run, beside the columns of its segments."""

Evaluations: TypeAlias = "Mapping[str, PartialEvaluation]"
"""By name of the model."""
Terms: TypeAlias = dict[str, Any]
"""How a model is evaluated: arguments of `partial_evaluation`."""


class Forecaster(Protocol):
    """What is judged: a predictor, or anything else that forecasts quantiles."""

    def predict_quantiles(self, X: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
        """Quantiles, index of `X`, one column per level."""


def is_large(n_cells: int) -> bool:
    """Whether so many cells are cut into parts."""
    return n_cells > CELLS_AT_ONCE or n_cells >= CELLS_IN_PARTS


def evaluations(
    runs: pd.DataFrame, forecasts: Mapping[str, pd.DataFrame], reference: str, terms: Mapping[str, Terms]
) -> Evaluations:
    """What the Evaluation table of each model in `terms` is made of; the reference has no baseline.

    `forecasts` of each model and the reference have shape (n_cells, n_levels), index `cell_id`.
    """
    from foretell.predictors.metrics import partial_evaluation

    base = forecasts[reference]
    return {
        name: partial_evaluation(runs, forecasts[name], baseline=None if name == reference else base, **how)
        for name, how in terms.items()
    }


def evaluations_in_parts(
    runs: pd.DataFrame,
    inputs: pd.DataFrame,
    models: Mapping[str, Forecaster],
    reference: str,
    terms: Mapping[str, Terms],
) -> Evaluations:
    """`evaluations` of fitted models (those of `terms` and the reference), made in parts of whole queries.

    Only sums come back. `inputs` have a row for each cell, index `cell_id`. What no part can see, a cell of two queries
    and a run that is there twice, is refused before.
    """
    from foretell.predictors.metrics import group_replicates

    n_cells = group_replicates(runs).n_cells
    engine = current_engine() if n_cells >= CELLS_IN_PARTS else Engine()
    judge = partial(_judged, models=models, reference=reference, terms=terms)
    segments = {name for how in terms.values() for keys in how["segments"] for name in columns_of(keys)}
    kept = [name for name in runs.columns if name in segments.union(RUN)]
    parts = [
        _Part(part[kept], inputs.loc[part["cell_id"].unique()])
        for part in _parts_of_whole_queries(runs, -(-n_cells // CELLS_AT_ONCE))
    ]
    return reduce(_merged, engine.map(judge, parts))


@dataclass(frozen=True, eq=False)
class _Part:
    """Runs of whole queries, and what is known of their cells before the outcome: a prompt travels once a cell."""

    runs: pd.DataFrame
    inputs: pd.DataFrame


def _parts_of_whole_queries(rows: pd.DataFrame, n_parts: int) -> list[pd.DataFrame]:
    """Cut rows into at most `n_parts` parts of about equally many queries, none of which lies in two."""
    query, names = pd.factorize(rows["query_id"])
    place = np.maximum(query, 0) * n_parts // max(len(names), 1)
    return [part for _, part in rows.groupby(place)]


def _judged(part: _Part, models: Mapping[str, Forecaster], reference: str, terms: Mapping[str, Terms]) -> Evaluations:
    forecasts = {name: model.predict_quantiles(part.inputs, EVALUATION_LEVELS) for name, model in models.items()}
    return evaluations(part.runs, forecasts, reference, terms)


def _merged(one: Evaluations, other: Evaluations) -> Evaluations:
    return {name: evaluation.merge(other[name]) for name, evaluation in one.items()}
