"""What a forecast of success must beat: the rate of right answers so far."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..arrays import Floats, names_of
from .chances import ChancePredictor, check_outcomes, pooled_rate


class _RateBaseline(ChancePredictor):
    """The rate of each group, drawn towards that of all where there are few runs; an unseen group has the latter."""

    columns: ClassVar[tuple[str, ...]]

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self.models_ = sorted(set(X["model"]))
        self.benchmarks_ = sorted(set(names_of(X, "benchmark")))
        outcomes = pd.Series(check_outcomes(y)).groupby(self._keys(X)).agg(["sum", "size"])
        self.overall_ = float(pooled_rate(y.sum(), len(y), 0.5))
        self.rates_ = dict(pooled_rate(outcomes["sum"], outcomes["size"], self.overall_).items())

    def _keys(self, X: pd.DataFrame) -> Floats:
        parts = [names_of(X, name) for name in self.columns]
        keys = ["\x1f".join(map(str, key)) for key in zip(*parts, strict=True)] if parts else [""] * len(X)
        return np.array(keys, dtype=object)

    def _chance(self, X: pd.DataFrame) -> Floats:
        return np.array([self.rates_.get(key, self.overall_) for key in self._keys(X)], dtype=np.float64)

    def _save(self, path: Path) -> dict[str, Any]:
        return {"models": self.models_, "benchmarks": self.benchmarks_, "overall": self.overall_, "rates": self.rates_}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.models_, self.benchmarks_ = state["models"], state["benchmarks"]
        self.overall_, self.rates_ = state["overall"], state["rates"]


class ModelBenchmarkRate(_RateBaseline):
    """The rate of the model on the benchmark."""

    columns = ("model", "benchmark")


class GlobalRate(_RateBaseline):
    """One rate for every request."""

    columns = ()
