"""Curves of one run that goes on: loss, error or score over steps, epochs, tokens or seconds.

The network reads the curve in its own spread, so that neither the unit of the budget, nor the metric, nor how densely
it was logged matters; what it is off by on other workloads is learnt.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from ..arrays import Floats, Mask
from ..schemas.learning_curves import as_points
from .curves import CurveBatch, UnitScale, read_curves
from .density import TruncatedT
from .pfn.pretrained import PriorFittedNetwork
from .stack import StackHead, group_folds

SET_SIZES = frozenset({"items", "samples", "examples", "rows", "instances"})
"""Units of a budget that counts training items: each point of such a curve is a training of its own."""
SHARES = np.linspace(0.02, 1.0, 99)
"""Shares of the last observed budget at which the spread of a curve is read."""
BEHIND, AHEAD = 3.0, 2.0
"""Range that the network reads: so many spreads worse and better than the last value, no farther than the bound."""
NETWORK_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
REACH = 10.0
"""Spreads that a run may move after its last observed value."""
MOST_WEIGHT = 3.0
ROUNDS = 20
MOST_FOLDS = 10


def are_runs(X: pd.DataFrame, named: Mask) -> Mask:
    """Which requests are of a run that goes on: by the unit of the budget, else those without a learner (`named`)."""
    if "resource_unit" not in X:
        return ~named
    units = X["resource_unit"]
    sizes = units.astype("str").str.lower().isin(SET_SIZES).to_numpy(dtype=bool)
    return np.asarray(np.where(units.notna(), ~sizes, ~named), dtype=bool)


@dataclass(frozen=True)
class RunColumns:
    """What is read of n observed beginnings.

    Attributes
    ----------
    columns : ndarray of shape (n, 13)
        Horizon, as logarithm and as share of what was observed, noise of a point, and the network's quantiles where it
        reads the curve in its own range, then in that of the metric: where nothing has moved yet, the first tells
        nothing of how far it may.
    points : ndarray of shape (n, 1)
        Median of the network, relative to the last value, in spreads.
    last, spread : ndarrays of shape (n,)
        Last observed value in the metric's unit; how far the curve has moved, > 0.
    low, high : ndarrays of shape (n,)
        Between what the curve moved, relative to the last value, in spreads; higher is better.
    """

    columns: Floats
    points: Floats
    last: Floats
    spread: Floats
    low: Floats
    high: Floats

    @classmethod
    def read(cls, X: pd.DataFrame, batch: CurveBatch, network: PriorFittedNetwork) -> Self:
        """Columns of valid requests, of which `batch` holds the curves."""
        sign = batch.scale.sign
        curves = zip(X["steps"], X["values"], batch.shift, sign, strict=True)
        rows = [_read_one(as_points(steps) + shift, up * as_points(values)) for steps, values, shift, up in curves]
        last, spread, low, high, jitter = np.array(rows, dtype=np.float64).T
        last = sign * last
        bound = np.abs(batch.scale.best - last)
        ahead = np.minimum(AHEAD * spread, np.where(bound > 1e-9 * spread, bound, np.inf))
        scale = UnitScale(last - sign * BEHIND * spread, last + sign * ahead)
        seen = np.clip(scale.to_unit(batch.scale.from_unit(batch.values)), 0.0, 1.0)
        own = network.forecast(replace(batch, values=seen * batch.seen)).on(scale)
        moved = [
            np.sort(sign[:, None] * (read.quantiles(NETWORK_LEVELS) - last[:, None]) / spread[:, None], axis=1)
            for read in (own, network.forecast(batch).on(batch.scale))
        ]
        horizon = batch.spans[:, 0]
        columns = np.column_stack([horizon, np.expm1(np.minimum(horizon, 20.0)), jitter, *moved])
        return cls(columns, moved[0][:, 2:3], last, spread, low, high)


def _read_one(steps: Floats, values: Floats) -> tuple[float, float, float, float, float]:
    """Of a curve, better upwards: last value, spread, and in spreads where it lay beside the last value, and noise."""
    finite = np.isfinite(values)
    log, y = np.log(steps[finite]), values[finite]
    share = np.exp(log - log[-1])
    low, middle, high = np.quantile(np.interp(np.log(SHARES), log - log[-1], y)[share[0] <= SHARES], [0.05, 0.25, 0.95])
    last = float(y[-1])
    spread = float(max(1.5 * (high - middle), 1e-6 * abs(last), 1e-9))
    return last, spread, (low - last) / spread, (high - last) / spread, _jitter(log, y) / spread


def _every(values: object, every: int) -> list[float]:
    """Every so many points, counted from the last one, and the first."""
    points = as_points(values)
    return [float(v) for v in points[sorted({0, *range(len(points) - 1, -1, -every)})]]


def _jitter(x: Floats, y: Floats) -> float:
    """Noise of a point (standard deviation): what the later half of (k,) points leaves of the lines beside them."""
    if len(y) < 4:
        return float("nan")
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    rest = (y[1:-1] - y[:-2] * (1 - share) - y[2:] * share) / np.sqrt(1 + share**2 + (1 - share) ** 2)
    return float(1.48 * np.median(np.abs(rest[len(rest) // 2 :])))


@dataclass(frozen=True)
class RunHead(StackHead):
    """The part of the stack for runs that go on: few trees over `RunColumns` on top of the network's median.

    It forecasts how far a run moves, in spreads: `REACH` of them up or down are the unit scale.
    """

    @classmethod
    def fit_runs(
        cls, X: pd.DataFrame, y: pd.Series, groups: pd.Series, network: PriorFittedNetwork, *, scale_rounds: int,
        seed: int | None, num_threads: int,
    ) -> Self:  # fmt: skip
        """Learn from beginnings of runs and where they ended, each from its log as it is and from a thinned one.

        `X` holds n valid requests, `y` (n,) their outcomes in the metric's unit, `groups` (n,) what is new when a
        forecast is asked for (workloads, tasks): each counts alike, and forecasts of one come from the others.
        """
        rng = np.random.default_rng(seed)
        every = rng.integers(2, 5, len(X))
        copies = X.assign(**{
            name: pd.Series([_every(*row) for row in zip(X[name], every, strict=True)], index=X.index, dtype=object)
            for name in ("steps", "values")
        })  # fmt: skip
        X, y, groups = pd.concat((X, copies)), pd.concat((y, y)), pd.concat((groups, groups))
        batch = read_curves(X.drop(columns="standard_errors", errors="ignore"))
        runs = RunColumns.read(X, batch, network)
        moved = batch.scale.sign * (y.to_numpy(dtype=np.float64) - runs.last) / runs.spread
        # An error counts as a share of what the whole curve moves, as it is judged.
        whole = np.maximum(runs.high, np.minimum(moved, REACH)) - np.minimum(runs.low, np.maximum(moved, -REACH))
        codes = pd.factorize(groups)[0]
        alike = len(X) / (codes.max() + 1) / np.bincount(codes)[codes]
        weight = np.minimum(1.0 / np.maximum(whole, 1e-3), MOST_WEIGHT) * alike
        weight *= len(X) / weight.sum()
        return cls.fit(
            runs.columns, np.full(len(X), 0.5), runs.points / (2 * REACH), batch.spans, 0.5 + moved / (2 * REACH),
            weight, group_folds(codes, MOST_FOLDS, rng), spread_weight=alike,
            location_rounds=ROUNDS, scale_rounds=scale_rounds, seed=seed, num_threads=num_threads,
        )  # fmt: skip

    def predict_runs(
        self, X: pd.DataFrame, batch: CurveBatch, network: PriorFittedNetwork, *, num_threads: int
    ) -> TruncatedT:
        """Distribution of each row on the unit scale of `batch`."""
        runs = RunColumns.read(X, batch, network)
        middle, points = np.full(len(X), 0.5), runs.points / (2 * REACH)
        moved = self.predict(runs.columns, middle, points, batch.spans, num_threads=num_threads)
        factor = 2 * REACH * runs.spread
        location = batch.scale.to_unit(runs.last + batch.scale.sign * factor * (moved.location - 0.5))
        return replace(moved, location=np.clip(location, 0.0, 1.0), scale=moved.scale * factor / batch.scale.span)
