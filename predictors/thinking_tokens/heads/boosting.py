"""LightGBM from given starting points: the nine quantile heads, and the mean that they start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats
from ...fitting.boosting import lightgbm_parameters, train_boosters
from ...fitting.trees import SavedBooster, predict_saved
from ..pooling.hierarchy import CATEGORIES
from .distribution import HEAD_LEVELS

ROWS_LEARNT = 200_000
"""Of more rows, heads learn from as many; the location and the calibration from all (decision 1640)."""


def rows_learnt(cells: NDArray[np.object_], queries: NDArray[np.object_], weight: Floats) -> tuple[Codes, Floats]:
    """Which of n rows heads learn from, ascending, and their weights: all where they are no more than `ROWS_LEARNT`.

    Of more, every cell gives as many, or all that it has: one run of each query before a second of any, queries in the
    order of a hash. What stays stands for its query, then for its cell: neither weighs less than before.
    """
    if len(weight) <= ROWS_LEARNT:
        return np.arange(len(weight)), weight
    cell, query = pd.factorize(cells)[0], pd.factorize(queries)[0]
    run, _ = pd.factorize(cell * (query.max() + 1) + query)
    turn = pd.Series(run).groupby(run).cumcount().to_numpy()
    order = np.lexsort((pd.util.hash_array(queries, categorize=True), turn, cell))
    sizes = np.bincount(cell)
    place = np.empty(len(cell), dtype=np.intp)
    place[order] = np.arange(len(cell)) - np.repeat(sizes.cumsum() - sizes, sizes)
    ascending = np.sort(sizes)
    levels = (ROWS_LEARNT - (ascending.cumsum() - ascending)) / np.arange(len(sizes), 0, -1)
    learnt = np.flatnonzero(place < max(int(levels[np.argmax(levels < ascending)]), 1))
    kept = weight[learnt]
    for part in (run, cell):
        kept = kept * (np.bincount(part, weight)[part[learnt]] / np.bincount(part[learnt], kept)[part[learnt]])
    return learnt, kept


@dataclass(frozen=True)
class Boosting:
    """Settings of LightGBM; the first columns of every table are the codes of `CATEGORIES`."""

    n_estimators: int
    learning_rate: float
    num_leaves: int
    min_child_samples: int
    num_threads: int
    random_state: int | None

    def quantiles(self, columns: Floats, z: Floats, starts: Floats, weight: Floats) -> list[Any]:
        """One booster per level of `HEAD_LEVELS`, from `starts` of shape (n_samples, n_heads)."""
        return self._train(columns, z, starts, weight, [{"objective": "quantile", "alpha": q} for q in HEAD_LEVELS])

    def mean(self, columns: Floats, z: Floats, start: Floats, weight: Floats) -> Any:
        """A booster of the mean of `z` from `start` of shape (n_samples,)."""
        return self._train(columns, z, start[:, None], weight, [{"objective": "l2"}])[0]

    def _train(
        self, columns: Floats, z: Floats, starts: Floats, weight: Floats, objectives: list[dict[str, Any]]
    ) -> list[Any]:
        usual = lightgbm_parameters(
            learning_rate=self.learning_rate, num_leaves=self.num_leaves, min_child_samples=self.min_child_samples,
            feature_fraction=0.6, num_threads=self.num_threads, seed=self.random_state,
        )  # fmt: skip
        parameters = [usual | objective for objective in objectives]
        return train_boosters(
            columns, z, weight, starts, parameters, n_rounds=self.n_estimators, n_categorical=len(CATEGORIES)
        )

    def predict(self, boosters: Sequence[Any], columns: Floats) -> Floats:
        """What each booster adds to its start; shape (n_samples, n_boosters)."""
        return predict_saved(boosters, columns, num_threads=self.num_threads)


def save_boosters(path: Path, name: str, boosters: Sequence[Any]) -> int:
    """Write boosters as LightGBM's text, ``<name>_<i>.txt``, and return how many."""
    for i, booster in enumerate(boosters):
        (path / f"{name}_{i}.txt").write_text(booster.model_to_string(), "utf-8")
    return len(boosters)


def load_boosters(path: Path, name: str, n: int) -> list[Any]:
    """Read what `save_boosters` wrote."""
    return [SavedBooster((path / f"{name}_{i}.txt").read_text("utf-8")) for i in range(n)]
