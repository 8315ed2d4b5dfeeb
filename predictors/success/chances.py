"""What all predictors of success share: a forecast is the chance of a right answer, an outcome is 0 or 1."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..arrays import Floats, names_of
from ..base import BasePredictor, known_words
from ..errors import InvalidInputError
from ..schemas.requests import Requests


@dataclass(frozen=True)
class Chances:
    """Chances of a right answer, in (0, 1), index of the requests."""

    chance: pd.Series

    def quantiles(self, levels: Floats) -> pd.DataFrame:
        """Quantiles of the outcome: 0 up to the level 1 - chance, 1 above. Their CRPS is the Brier score."""
        values = (np.asarray(levels) > 1 - self.chance.to_numpy()[:, None]).astype(np.float64)
        return pd.DataFrame(values, index=self.chance.index, columns=[float(level) for level in levels])

    def loc(self, index: pd.Index) -> "Chances":
        """Those of some requests."""
        return Chances(self.chance.loc[index])

    def log_density(self, values: pd.Series) -> pd.Series:
        """Log probability of outcomes 0 or 1, in nats: minus their log loss."""
        p = self.chance.to_numpy()
        outcome = values.to_numpy(dtype=np.float64)
        return pd.Series(np.where(outcome == 1, np.log(p), np.log1p(-p)), index=self.chance.index)


class ChancePredictor(BasePredictor):
    """Base of the predictors of success; a subclass writes `_chance` and sets `models_` and `benchmarks_`.

    `predict_mean` is the chance that the answer is right; quantiles are those of one outcome, 0 or 1.
    """

    family = "success"
    input_schema = Requests
    scope_columns: ClassVar[tuple[str, ...]] = ("model",)
    models_: list[str]
    benchmarks_: list[str]

    def distribution(self, X: pd.DataFrame) -> Chances:
        """The forecast of every request."""
        return Chances(self.predict_mean(X))

    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        benchmark = pd.Series(names_of(X, "benchmark"))
        seen = benchmark.isin(self.benchmarks_) & (benchmark != "")
        known = known_words(X["model"].isin(self.models_).to_numpy(), seen.to_numpy())
        words = {
            "cell": "scored runs of this model on this benchmark", "model": "scored runs of this model elsewhere",
            "benchmark": "other models on this benchmark", "neither": "other models on other benchmarks",
        }  # fmt: skip
        return known, [words[of_row] for of_row in known]

    def _chance(self, X: pd.DataFrame) -> Floats:
        raise NotImplementedError

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        return np.clip(self._chance(X), 1e-4, 1 - 1e-4)

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        return Chances(pd.Series(self._predict_mean(X))).quantiles(levels).to_numpy()


def check_outcomes(y: pd.Series) -> Floats:
    """Outcomes as an array.

    Raises
    ------
    InvalidInputError
        If one is neither 0 nor 1.
    """
    if not y.isin([0, 1]).all():
        raise InvalidInputError(f"`y` must be 0 (wrong) or 1 (right), got {sorted(set(y[~y.isin([0, 1])]))[:3]}")
    return y.to_numpy(dtype=np.float64)


def pooled_rate(right: Any, runs: Any, prior: Any, weight: float = 2.0) -> Any:
    """Share of right answers, drawn towards `prior` as if by `weight` runs."""
    return (right + weight * prior) / (runs + weight)
