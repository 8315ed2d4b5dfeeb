"""What a forecast must beat: one law for every ladder, with the spread of its past errors."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..arrays import Floats
from ..base import BasePredictor
from .combination import EDGE, bounds
from .items.cod import report_cod
from .ladder import LadderRequests, read_ladders, with_something
from .laws.methods import forecast_shares

GRID = np.r_[0.005, 0.01:1.0:0.01, 0.995]


class _OneLawBaseline(BasePredictor):
    """One method, and the quantiles of its errors in points on the ladders it was fitted to, cut at the bounds."""

    family: ClassVar[str] = "downstream_scaling"
    input_schema = LadderRequests
    law: ClassVar[str]

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        error = np.sort(y.to_numpy(dtype=np.float64) - self._points(X)[0])
        error_quantiles = np.interp(GRID, (np.arange(len(error)) + 0.5) / len(error), error)
        # The law itself is the median forecast: a shift learnt elsewhere is no part of it.
        self.errors_: Floats = np.asarray(error_quantiles - np.interp(0.5, GRID, error_quantiles))

    def _points(self, X: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
        ladders = [with_something(ladder) for ladder in read_ladders(X)]
        shares = forecast_shares(ladders, [self.law])[:, 0]
        last = np.array([ladder.shares[-1] for ladder in ladders])
        shares = np.where(np.isfinite(shares), shares, last)
        points = np.array([ladder.points(share) for ladder, share in zip(ladders, shares, strict=True)])
        lower, upper = bounds(ladders)
        return np.clip(points, 0.0, 100.0), lower, upper

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        points, lower, upper = self._points(X)
        quantiles = points[:, None] + np.interp(levels, GRID, self.errors_)
        low = np.minimum(lower + EDGE, points)[:, None]
        return np.clip(quantiles, low, np.maximum(upper, points)[:, None])

    def _save(self, path: Path) -> dict[str, Any]:
        return {"errors": self.errors_.tolist()}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.errors_ = np.array(state["errors"])


class CodBaseline(_OneLawBaseline):
    """Clustering On Difficulty where it answers, the bounded exponential law where it abstains.

    Needs `item_pass_rates`; a row without them is an abstention.
    """

    law = "exponential"

    def _points(self, X: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
        points, lower, upper = super()._points(X)
        cod_points = [100.0 * report_cod(ladder).score for ladder in read_ladders(X)]
        answered = np.isfinite(cod_points)
        return np.where(answered, cod_points, points), np.where(answered, 0.0, lower), upper


class LastValueBaseline(_OneLawBaseline):
    """The largest model's score stays."""

    law = "last"


class DirectExponentialBaseline(_OneLawBaseline):
    """The bounded exponential law in compute, fitted to the whole ladder."""

    law = "exponential"
