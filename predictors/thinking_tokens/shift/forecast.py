"""Forecasts of runs in cells of which nothing, or only a few anchors, was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr

from .cells import CELL, CellTable, by_benchmark
from .descriptors import describe_models
from .effects import CellEffects, CellPosterior
from .seen import Cell, as_cells

Floats = NDArray[np.float64]
N_WITHIN = 8
"""Equally likely values of a cell's own spread that a forecast mixes."""

GRID: Floats = np.sinh(np.linspace(-4, 4, 401))
"""Where the distribution function of a mixture is computed, in its standard deviations about its mean."""

FEW, MAX_FORMER = 4, 256
"""So few cells, without anchors, are forecast once and kept, for so many calls: a gateway asks about the same ones."""

LEAST_SDS = (0.2, 0.2, 0.3)
"""Least standard deviation of log variances: of cells about a benchmark, of benchmarks, of sources."""


@dataclass(frozen=True)
class CellForecasts:
    """Distributions of log tokens of an ordinary query in each of some cells.

    Attributes
    ----------
    posterior : CellPosterior
        Of the means of the cells.
    within : ndarray of shape (n_cells, N_WITHIN)
        Equally likely variances of a run about the mean of its cell.
    query_share : ndarray of shape (n_cells,)
        Share of that variance which other models' runs of the same query can explain, in [0, 1].
    """

    posterior: CellPosterior
    within: Floats
    query_share: Floats

    def quantiles(self, levels: Floats) -> Floats:
        """Quantiles of log tokens of a run; shape (n_cells, n_levels), non-decreasing in the levels."""
        posterior, spread = self.posterior, self.within
        return np.array(
            [
                mixture_quantiles(mean, variance[:, None] + own[None, :], posterior.weight, levels)
                for mean, variance, own in zip(posterior.mean.T, posterior.variance.T, spread, strict=True)
            ]
        ).reshape(len(spread), len(levels))

    def quantiles_about_mean(self, levels: Floats) -> Floats:
        """Quantiles of what a run differs by from the mean of its cell; shape (n_cells, n_levels)."""
        zero, one = np.zeros(1), np.ones(1)
        return np.array([mixture_quantiles(zero, own[None, :], one, levels) for own in self.within]).reshape(
            len(self.within), len(levels)
        )

    def total_variance(self) -> Floats:
        """Variance of a run of each cell, in squared log tokens; shape (n_cells,)."""
        return np.asarray(self.posterior.total_variance() + self.within.mean(axis=1))


def mixture_quantiles(mean: Floats, variance: Floats, weight: Floats, levels: Floats) -> Floats:
    """Quantiles of a mixture of normals.

    Parameters
    ----------
    mean, weight : ndarrays of shape (n_components,)
    variance : ndarray of shape (n_components, n_spreads)
        Of each component equally likely ones.
    levels : ndarray of shape (n_levels,)

    Returns
    -------
    ndarray of shape (n_levels,)
    """
    centre = float(weight @ mean)
    whole = float(weight @ (variance.mean(axis=1) + (mean - centre) ** 2))
    grid = centre + np.sqrt(whole) * GRID
    below = ndtr((grid[:, None, None] - mean[None, :, None]) / np.sqrt(variance)[None]).mean(axis=2) @ weight
    return np.asarray(np.interp(levels, np.maximum.accumulate(below), grid))


class ShiftForecaster:
    """What is known of a cell from other cells: its source, its benchmark, its model's relatives.

    Parameters
    ----------
    n_draws : int
        Draws of the standard deviations of the effects, see `CellEffects`.
    random_state : int, optional
    """

    def __init__(self, *, n_draws: int = 32, random_state: int | None = 0) -> None:
        self.n_draws = n_draws
        self.random_state = random_state
        self._former: dict[tuple[Cell, ...], CellForecasts] = {}

    def fit(self, table: CellTable) -> Self:
        """Learn from cells that were measured (`cells.summarise_cells`)."""
        table = replace(table, cells=describe_models(table.cells))
        self.effects_ = CellEffects(n_draws=self.n_draws, random_state=self.random_state).fit(table)
        self.spreads_ = _Spreads.of(table)
        self._former = {}
        return self

    def forecast(self, cells: pd.DataFrame, anchors: CellTable | None = None) -> CellForecasts:
        """Forecast cells (columns `cells.CELL`), given the cells of some `anchors`; their order does not matter."""
        if anchors is None and len(cells) <= FEW:
            asked = tuple(as_cells(cells))
            if asked not in self._former:
                if len(self._former) >= MAX_FORMER:
                    self._former = {}
                self._former[asked] = self._forecast(cells, None)
            return self._former[asked]
        return self._forecast(cells, anchors)

    def _forecast(self, cells: pd.DataFrame, anchors: CellTable | None) -> CellForecasts:
        described = describe_models(cells)
        if anchors is not None:
            anchors = replace(anchors, cells=describe_models(anchors.cells))
        posterior = self.effects_.posterior(described, anchors)
        seen = self.effects_.table_  # a cell that was seen has a spread of its own, like one with anchors
        if anchors is not None:
            seen = seen.joined(anchors)
        return CellForecasts(posterior, *self.spreads_.within(cells, seen))

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores what was learnt."""
        effects, arrays = self.effects_.state()
        return {"effects": effects, "spreads": self.spreads_.state()}, arrays

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        forecaster = cls(n_draws=len(arrays["log_sds"]))
        forecaster.effects_ = CellEffects.from_state(state["effects"], arrays)
        forecaster.spreads_ = _Spreads.from_state(state["spreads"])
        return forecaster


@dataclass(frozen=True)
class _Spreads:
    """Log variances of runs about the mean of their cell: by benchmark, by source, and overall.

    Each level is the mean of the one below; `sds` are the standard deviations of a cell about its benchmark, of a
    benchmark about its source and of a source about all. `share` is that of the queries, by benchmark. No variance that
    nothing was measured of is taken to be beyond the `largest` that any cell has shown.
    """

    benchmark: dict[tuple[str, str], float]
    source: dict[str, float]
    overall: float
    sds: tuple[float, float, float]
    share: dict[tuple[str, str], float]
    largest: float

    @classmethod
    def of(cls, table: CellTable) -> Self:
        keys = ["source", "benchmark"]
        frame = table.cells[keys].assign(value=np.log(table.spread), share=table.query_variance / table.spread)
        benchmark = frame.groupby(keys)["value"].mean()
        source = benchmark.groupby(level="source").mean()
        overall = float(source.mean())
        about_benchmark = frame["value"] - frame.groupby(keys)["value"].transform("mean")
        about_source = benchmark - source.reindex(benchmark.index.get_level_values("source")).to_numpy()
        parts = (about_benchmark, len(benchmark)), (about_source, len(source)), (source - overall, 1)
        sds = [
            max(float(np.sqrt((values**2).sum() / max(len(values) - n_means, 1))), least)
            for (values, n_means), least in zip(parts, LEAST_SDS, strict=True)
        ]
        share = frame.groupby(keys)["share"].mean()
        by_source = {str(name): float(value) for name, value in source.items()}
        largest = float(table.spread.max())
        return cls(by_benchmark(benchmark), by_source, overall, (sds[0], sds[1], sds[2]), by_benchmark(share), largest)

    def within(self, cells: pd.DataFrame, seen: CellTable) -> tuple[Floats, Floats]:
        """Equally likely variances of each cell, shape (n_cells, N_WITHIN), and the share that queries explain."""
        levels = (np.arange(N_WITHIN) + 0.5) / N_WITHIN
        of_cells = _measured(seen)
        usual_share = float(np.mean(list(self.share.values())))
        rows, shares = np.empty((len(cells), N_WITHIN)), np.empty(len(cells))
        for place, cell in enumerate(cells[CELL].to_numpy(dtype=object)):
            source, benchmark = str(cell[0]), str(cell[1])
            centre, sd = self._prior(source, benchmark)
            freedom, scale = 1 + 2 / sd**2, np.exp(centre)
            n, squares = of_cells.get(tuple(cell), (0.0, 0.0))
            freedom, scale = freedom + n, (freedom * scale + squares) / (freedom + n)
            rows[place] = np.minimum(scale * freedom / (2 * gammaincinv(freedom / 2, levels)), max(scale, self.largest))
            shares[place] = self.share.get((source, benchmark), usual_share)
        return rows, shares

    def _prior(self, source: str, benchmark: str) -> tuple[float, float]:
        """Mean and standard deviation of a cell's log variance, by what is nearest to it."""
        cell_sd, benchmark_sd, source_sd = self.sds
        if (source, benchmark) in self.benchmark:
            return self.benchmark[source, benchmark], cell_sd
        if source in self.source:
            return self.source[source], float(np.hypot(cell_sd, benchmark_sd))
        return self.overall, float(np.sqrt(cell_sd**2 + benchmark_sd**2 + source_sd**2))

    def state(self) -> dict[str, Any]:
        benchmark = [[*key, value, self.share[key]] for key, value in self.benchmark.items()]
        state = {"benchmark": benchmark, "source": self.source, "overall": self.overall, "sds": self.sds}
        return {**state, "largest": self.largest}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        benchmark = {(source, name): value for source, name, value, _ in state["benchmark"]}
        share = {(source, name): value for source, name, _, value in state["benchmark"]}
        first, second, third = state["sds"]
        return cls(benchmark, state["source"], state["overall"], (first, second, third), share, state["largest"])


def _measured(seen: CellTable) -> dict[tuple[str, ...], tuple[float, float]]:
    """Degrees of freedom and sum of squares of the runs of each cell."""
    freedom = np.maximum(seen.n_queries - 1, 0)
    by_cell: dict[tuple[str, ...], tuple[float, float]] = {}
    for row, n, squares in zip(seen.cells[CELL].to_numpy(dtype=object), freedom, freedom * seen.spread, strict=True):
        key = tuple(str(part) for part in row)
        before = by_cell.get(key, (0.0, 0.0))
        by_cell[key] = before[0] + float(n), before[1] + float(squares)
    return by_cell
