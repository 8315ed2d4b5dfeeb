"""Forecasts of runs in cells of which nothing, or only a few anchors, was seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtr

from ...arrays import Floats
from .cells import CELL, CellTable
from .descriptors import describe_models
from .effects import CellEffects
from .lengths import LENGTH

N_WITHIN = 8
"""Equally likely values of a cell's own spread that a forecast mixes."""

GRID: Floats = np.sinh(np.linspace(-4, 4, 401))
"""Where the distribution function of a mixture is computed, in its standard deviations about its mean."""

ASKED_AT_MOST, CELLS_OF_ASKED = 10_000, 16
"""Questions whose forecasts of cells are kept, and how many cells they may be about."""

LEAST_SDS = (0.2, 0.2, 0.3)
"""Least standard deviation of log variances: of cells about a benchmark, of benchmarks, of sources."""


@dataclass(frozen=True)
class CellForecasts:
    """Distributions of log tokens of an ordinary query in each of some cells.

    Attributes
    ----------
    mean : ndarray of shape (n_cells,)
    covariance : ndarray of shape (n_cells, n_cells)
        Of what the means of the cells may be off by.
    within : ndarray of shape (n_cells, N_WITHIN)
        Equally likely variances of a run about the mean of its cell.
    query_share : ndarray of shape (n_cells,)
        Share of that variance which other models' runs of the same query can explain, in [0, 1].
    """

    mean: Floats
    covariance: Floats
    within: Floats
    query_share: Floats

    @property
    def variance(self) -> Floats:
        """Of each cell's mean; shape (n_cells,)."""
        return np.diag(self.covariance)


def spread_quantiles(variance: Floats, levels: Floats) -> Floats:
    """Quantiles of mixtures, in equal parts, of normals about 0 with `variance` (n, n_parts); shape (n, n_levels)."""
    values = np.empty((len(variance), len(levels)))
    for row, of_row in enumerate(variance):
        grid = np.sqrt(of_row.mean()) * GRID
        values[row] = np.interp(levels, ndtr(grid[:, None] / np.sqrt(of_row)).mean(axis=1), grid)
    return values


@dataclass(frozen=True)
class ShiftForecaster:
    """What is known of a cell from other cells: its source, its benchmark, its model's relatives."""

    effects: CellEffects
    spreads: "_Spreads"
    _asked: dict[tuple[tuple[Any, ...], ...], CellForecasts] = field(default_factory=dict, init=False, repr=False)
    """Forecasts by the cells that were asked about together: a server is asked about the same ones all the time."""

    @classmethod
    def fit(cls, table: CellTable) -> Self:
        """Learn from cells that were measured (`cells.summarise_cells`)."""
        table = replace(table, cells=describe_models(table.cells))
        return cls(CellEffects.fit(table), _Spreads.of(table))

    def joined(self, anchors: CellTable) -> Self:
        """The same that knows the cells of some `anchors` too; their order does not matter."""
        described = replace(anchors, cells=describe_models(anchors.cells))
        return replace(self, effects=self.effects.joined(described))

    def forecast(self, cells: pd.DataFrame) -> CellForecasts:
        """Forecast cells (columns `cells.CELL` and `lengths.LENGTH`)."""
        asked = tuple(zip(*(cells[name].tolist() for name in (*CELL, LENGTH)), strict=True))
        found = self._asked.get(asked)
        if found is None:
            mean, covariance = self.effects.posterior(describe_models(cells))
            # A cell that was seen has a spread of its own, like one with anchors.
            found = CellForecasts(mean, covariance, *self.spreads.within(cells, self.effects.measured))
            if len(cells) <= CELLS_OF_ASKED and len(self._asked) < ASKED_AT_MOST:
                self._asked[asked] = found
        return found

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores what was learnt."""
        effects, arrays = self.effects.state()
        return {"effects": effects, "spreads": self.spreads.state()}, arrays

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        return cls(CellEffects.from_state(state["effects"], arrays), _Spreads.from_state(state["spreads"]))


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
    sds: tuple[float, ...]
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
        sds = tuple(
            max(float(np.sqrt((values**2).sum() / max(len(values) - n_means, 1))), least)
            for (values, n_means), least in zip(parts, LEAST_SDS, strict=True)
        )
        parts_of = (benchmark, source, frame.groupby(keys)["share"].mean())
        by_benchmark, by_source, share = (dict[Any, float](values.to_dict()) for values in parts_of)
        return cls(by_benchmark, by_source, overall, sds, share, float(table.spread.max()))

    def within(
        self, cells: pd.DataFrame, measured: Mapping[tuple[str, ...], tuple[float, float]]
    ) -> tuple[Floats, Floats]:
        """Equally likely variances of each cell, shape (n_cells, N_WITHIN), and the share that queries explain.

        `measured` are degrees of freedom and sums of squares by cell.
        """
        levels = (np.arange(N_WITHIN) + 0.5) / N_WITHIN
        usual_share = float(np.mean(list(self.share.values())))
        rows, shares = np.empty((len(cells), N_WITHIN)), np.empty(len(cells))
        for place, cell in enumerate(cells[CELL].to_numpy(dtype=object)):
            source, benchmark = str(cell[0]), str(cell[1])
            centre, sd = self._prior(source, benchmark)
            freedom, scale = 1 + 2 / sd**2, np.exp(centre)
            n, squares = measured.get(tuple(cell), (0.0, 0.0))
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
        kept = {name: vars(self)[name] for name in ("source", "overall", "sds", "largest")}
        return {"benchmark": benchmark, **kept}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        benchmark = {(source, name): value for source, name, value, _ in state["benchmark"]}
        share = {(source, name): value for source, name, _, value in state["benchmark"]}
        return cls(benchmark, state["source"], state["overall"], tuple(state["sds"]), share, state["largest"])
