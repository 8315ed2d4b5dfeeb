"""LightGBM from given starting points: the nine quantile heads, and the mean that they start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...arrays import Floats
from ...fitting.boosting import BoostingJob, lightgbm_parameters, predict_boosters, train_boosters
from ...fitting.trees import SavedBooster
from ..pooling.hierarchy import CATEGORIES
from .distribution import HEAD_LEVELS


@dataclass(frozen=True)
class Boosting:
    """Settings of LightGBM; the first columns of every table are the codes of `CATEGORIES`."""

    n_estimators: int
    learning_rate: float
    num_leaves: int
    min_child_samples: int
    num_threads: int
    random_state: int | None

    def _parameters(self, **objective: Any) -> dict[str, Any]:
        return lightgbm_parameters(
            learning_rate=self.learning_rate, num_leaves=self.num_leaves, min_child_samples=self.min_child_samples,
            feature_fraction=0.6, num_threads=self.num_threads, seed=self.random_state, **objective,
        )  # fmt: skip

    def quantiles(self, columns: Floats, z: Floats, starts: Floats, weight: Floats) -> list[Any]:
        """One booster per level of `HEAD_LEVELS`, from `starts` of shape (n_samples, n_heads)."""
        parameters = [self._parameters(objective="quantile", alpha=level) for level in HEAD_LEVELS]
        return self._train(columns, z, starts, weight, parameters)

    def mean(self, columns: Floats, z: Floats, start: Floats, weight: Floats) -> Any:
        """A booster of the mean of `z` from `start` of shape (n_samples,)."""
        return self._train(columns, z, start[:, None], weight, [self._parameters(objective="l2")])[0]

    def _train(
        self, columns: Floats, z: Floats, starts: Floats, weight: Floats, parameters: list[dict[str, Any]]
    ) -> list[Any]:
        categorical = range(len(CATEGORIES))
        return train_boosters(BoostingJob(columns, z, weight, starts, parameters, self.n_estimators, categorical))

    def predict(self, boosters: Sequence[Any], columns: Floats) -> Floats:
        """What each booster adds to its start; shape (n_samples, n_boosters)."""
        return predict_boosters(boosters, columns, num_threads=self.num_threads)


def save_boosters(path: Path, name: str, boosters: Sequence[Any]) -> int:
    """Write boosters as LightGBM's text, ``<name>_<i>.txt``, and return how many."""
    for i, booster in enumerate(boosters):
        (path / f"{name}_{i}.txt").write_text(booster.model_to_string(), "utf-8")
    return len(boosters)


def load_boosters(path: Path, name: str, n: int) -> list[Any]:
    """Read what `save_boosters` wrote."""
    return [SavedBooster((path / f"{name}_{i}.txt").read_text("utf-8")) for i in range(n)]
