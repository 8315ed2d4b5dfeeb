"""Rounds and splits that the data sets of this family share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from foretell.assets.families.learning_curves.examples import LISTS
from foretell.assets.judging.family import Family
from foretell.assets.judging.splits import Round, Split
from foretell.predictors.base import BasePredictor

METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
Models = Mapping[str, BasePredictor]


def left_out(family: Family, rows: pd.DataFrame, always: pd.DataFrame | None = None) -> list[Round]:
    """Each query of `rows`, index `cell_id`, forecast by a fit to the others and to the rows `always`."""
    return [
        Round(pd.concat([rows[rows["query_id"] != query], always]), family.inputs(part), outcomes_of(part))
        for query, part in rows.groupby("query_id", sort=True)
    ]


def outcomes_of(rows: pd.DataFrame) -> pd.DataFrame:
    """What is judged: the rows without what was known before."""
    return rows.reset_index(drop=True).drop(columns=["split", *(name for name in LISTS if name in rows)])


def by_cut(name: str, rounds: Sequence[Round], models: Models, reference: tuple[str, BasePredictor]) -> Split:
    """A split that is judged whole and by cut, with the log density of the outcomes."""
    cut: Any = {"segments": ("cut",), "others_segments": ("cut",)}
    return Split(name, rounds, models, reference, **cut, metrics=METRICS, has_likelihood=True)
