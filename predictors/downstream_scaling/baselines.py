"""What a forecast must beat: one law for every ladder, with the spread of its past errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.base import BasePredictor
from predictors.downstream_scaling.cod import UNIT_FLOPS, CodReport, forecast_cod, unit_of_ladder
from predictors.downstream_scaling.combination import EDGE, bounds
from predictors.downstream_scaling.difficulty import Space
from predictors.downstream_scaling.ladder import Ladder, LadderRequests, read_ladders, with_something
from predictors.downstream_scaling.least_squares import Floats
from predictors.downstream_scaling.methods import forecast_shares

__all__ = ["CodBaseline", "DirectExponentialBaseline", "LastValueBaseline", "LogitLinearBaseline"]

GRID = np.r_[0.005, 0.01:1.0:0.01, 0.995]


class _OneLawBaseline(BasePredictor):
    """One method, and the quantiles of its errors in points on the ladders it was fitted to, cut at the bounds."""

    family: ClassVar[str] = "downstream_scaling"
    input_schema = LadderRequests
    law: ClassVar[str]

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        error = np.sort(y.to_numpy(dtype=np.float64) - self._points(X)[0])
        found = np.interp(GRID, (np.arange(len(error)) + 0.5) / len(error), error)
        # The law itself is the median forecast: a shift learnt elsewhere is no part of it.
        self.errors_: Floats = np.asarray(found - np.interp(0.5, GRID, found))

    def _points(self, X: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
        ladders = [with_something(ladder) for ladder in read_ladders(X)]
        shares = forecast_shares(ladders, [self.law])[:, 0]
        last = np.array([ladder.shares[-1] for ladder in ladders])
        shares = np.where(np.isfinite(shares), shares, last)
        points = np.array([ladder.points(share) for ladder, share in zip(ladders, shares, strict=True)])
        lower, upper = bounds(ladders)
        return np.clip(points, 0.0, 100.0), lower, upper

    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
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

    Parameters
    ----------
    space : {"raw", "rescaled", "logit"}
        Where items are compared.
    relative_unit : bool
        Count compute in units of the ladder's own smallest model, see `cod.unit_of_ladder`, not of 1e18 FLOPs.
    """

    law = "exponential"

    def __init__(self, *, space: Space = "raw", relative_unit: bool = False) -> None:
        self.space = space
        self.relative_unit = relative_unit

    def reports(self, X: pd.DataFrame) -> list[CodReport | None]:
        """Report of every row; None where no items are given."""
        return [self._report(ladder) for ladder in read_ladders(self._validate(X))]

    def _report(self, ladder: Ladder) -> CodReport | None:
        if ladder.pass_rates is None or not len(ladder):
            return None
        unit = unit_of_ladder(ladder.flops) if self.relative_unit else UNIT_FLOPS
        return forecast_cod(ladder.pass_rates, ladder.flops, ladder.target_flops, space=self.space, unit_flops=unit)

    def _points(self, X: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
        points, lower, upper = super()._points(X)
        found = [100.0 * r.score if r is not None and not r.abstains else np.nan for r in self.reports(X)]
        answered = np.isfinite(found)
        return np.where(answered, found, points), np.where(answered, 0.0, lower), upper

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        """``abstain``, ``reason``, ``predictable_ratio``, ``outlier_ratio``, ``n_clusters`` of every row."""
        rows = [
            {
                "abstain": True, "reason": "no `item_pass_rates`", "predictable_ratio": np.nan, "outlier_ratio": np.nan,
                "n_clusters": 0,
            }
            if report is None
            else {
                "abstain": report.abstains, "reason": report.reason, "predictable_ratio": report.predictable_ratio,
                "outlier_ratio": report.outlier_ratio, "n_clusters": len(report.clusters),
            }
            for report in self.reports(X)
        ]  # fmt: skip
        return pd.DataFrame(rows, index=X.index)


class LastValueBaseline(_OneLawBaseline):
    """The largest model's score stays."""

    law = "last"


class DirectExponentialBaseline(_OneLawBaseline):
    """The bounded exponential law in compute, fitted to the whole ladder."""

    law = "exponential"


class LogitLinearBaseline(_OneLawBaseline):
    """A straight line of logit score over log compute through the last three models."""

    law = "logit_linear_last3"
