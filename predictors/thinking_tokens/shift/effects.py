"""A Gaussian model of the means of cells: what cells share, they share through their groups.

The mean of a cell is a constant plus effects of its source, its benchmark, its model (vendor, family, base, effort) and
itself, each normal; whether the model reasons, and how long the prompts of the benchmark are, have effects of their own
that differ between sources. The standard deviations of these effects are what a forecast of an unseen cell is wide by;
they are their posterior mode under log-normal priors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri

from ...arrays import Codes, Floats
from .cells import CELL, CellTable
from .lengths import LENGTH


@dataclass(frozen=True)
class _Effect:
    """One kind of effect: cells with the same `keys` share it, times what their column `by` holds."""

    name: str
    keys: tuple[str, ...]
    prior_sd: float
    by: str = ""


EFFECTS = (
    _Effect("source", ("source",), 0.9),
    _Effect("source x reasoning", ("source",), 0.5, by="reasons"),
    _Effect("benchmark", ("source", "benchmark"), 0.5),
    _Effect("benchmark x reasoning", ("source", "benchmark"), 0.3, by="reasons"),
    _Effect("vendor", ("vendor",), 0.2),
    _Effect("family", ("family",), 0.2),
    _Effect("base", ("base",), 0.2),
    _Effect("configuration", ("base", "reasoning_effort"), 0.2),
    _Effect("configuration x source", ("base", "reasoning_effort", "source"), 0.3),
    _Effect("cell", ("base", "reasoning_effort", "source", "benchmark"), 0.25),
    _Effect("prompt length", (), 0.3, by=LENGTH),
    _Effect("prompt length x source", ("source",), 0.3, by=LENGTH),
)
COLUMNS = sorted({name for effect in EFFECTS for name in (*effect.keys, effect.by) if name} | {"reasons"})
"""Columns of cells that an effect reads."""
OWN = [effect.name for effect in EFFECTS].index("cell")
ODD = 2.0 ** np.arange(0, 3.1, 0.25)
"""Times that cells of one benchmark may differ as much from what their relatives make one expect as cells usually do;
a density that falls with the square."""
PRIOR_LOG_SD = 0.5
CONSTANT_VARIANCE = 9.0
REASONING_VARIANCE = 4.0
JITTER = 1e-8
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class CellEffects:
    """Random effects of cells.

    Attributes
    ----------
    table : CellTable
        Measured cells; they hold `LENGTH` and the columns of `descriptors.describe_models` beside `cells.CELL`.
    centre : float
        Log tokens that the constant is taken to be about.
    sds : ndarray of shape (n_effects,)
        Standard deviations of `EFFECTS`, in log tokens.
    odd : dict
        Of (source, benchmark): which of `ODD` its anchors have shown; others have 1.
    """

    table: CellTable
    centre: float
    sds: Floats
    odd: dict[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def fit(cls, table: CellTable) -> Self:
        """Estimate the standard deviations of the effects from measured cells."""
        from scipy.optimize import minimize

        centre = float(table.mean.mean())
        start = np.log([effect.prior_sd for effect in EFFECTS])
        design = _Design.of(table.cells)
        kernels, fixed = _kernels(design, design), _fixed(design, design)
        given = (start, kernels, fixed, table.error, table.mean - centre)
        options = {"maxiter": 80, "ftol": 1e-6}
        mode = minimize(_negative_log_posterior, start, given, jac=True, method="L-BFGS-B", options=options).x
        return cls(table, centre, np.exp(mode))

    def joined(self, anchors: CellTable) -> Self:
        """The same effects where `anchors`, cells measured since the fit, are known too."""
        groups = anchors.cells.groupby(["source", "benchmark"]).indices.items()
        odd: dict[Any, float] = {key: self._oddness(anchors.take(np.asarray(at, np.intp))) for key, at in groups}
        return replace(self, table=self.table.joined(anchors), odd={**self.odd, **odd})

    def _oddness(self, anchors: CellTable) -> float:
        """How far the cells of a benchmark are from what was expected, as the mode of `ODD` under its density."""
        mean, covariance = self.posterior(anchors.cells)
        codes = _Design.of(anchors.cells).codes[OWN]
        own = (ODD[:, None, None] ** 2 - 1) * self.sds[OWN] ** 2 * (codes[:, None] == codes)
        lower = np.linalg.cholesky(covariance + np.diag(anchors.error + JITTER) + own)
        whitened = np.linalg.solve(lower, (anchors.mean - mean)[:, None])
        likelihood = -np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1) - 0.5 * (whitened**2).sum(axis=(1, 2))
        return float(ODD[np.argmax(likelihood - 2 * np.log(ODD))])

    def posterior(self, cells: pd.DataFrame) -> tuple[Floats, Floats]:
        """What is known of the means of `cells`, seen before or not, described as those of `table` are.

        Returns
        -------
        mean : ndarray of shape (n_cells,)
            Log tokens.
        covariance : ndarray of shape (n_cells, n_cells)
            What cells have in common they are off by together.
        """
        lower, whitened = self._factor
        design = _Design.of(cells, self._design.codes_by_key, self.odd)
        towards = solve_triangular(lower, self._covariance(self._design, design), lower=True)
        covariance = self._covariance(design, design) - towards.T @ towards
        np.fill_diagonal(covariance, np.maximum(np.diag(covariance), LEAST_VARIANCE))  # whatever rounding left
        return self.centre + towards.T @ whitened, covariance

    @cached_property
    def _design(self) -> "_Design":
        return _Design.of(self.table.cells, odd=self.odd)

    @cached_property
    def measured(self) -> dict[tuple[str, ...], tuple[float, float]]:
        """Degrees of freedom and sum of squares of the runs of each cell (`cells.CELL`)."""
        freedom = np.maximum(self.table.n_queries - 1, 0)
        by_cell: dict[tuple[str, ...], tuple[float, float]] = {}
        cells = zip(*(self.table.cells[name].astype(str) for name in CELL), strict=True)
        for cell, n, squares in zip(cells, freedom, freedom * self.table.spread, strict=True):
            before = by_cell.get(cell, (0.0, 0.0))
            by_cell[cell] = before[0] + float(n), before[1] + float(squares)
        return by_cell

    @cached_property
    def _factor(self) -> tuple[Floats, Floats]:
        """Cholesky factor of the covariance of the measured means, and their whitened residual."""
        measured = self._covariance(self._design, self._design) + np.diag(self.table.error + JITTER)
        lower: Floats = np.linalg.cholesky(measured).astype(np.float64)
        return lower, solve_triangular(lower, self.table.mean - self.centre, lower=True)

    def _covariance(self, one: "_Design", other: "_Design") -> Floats:
        covariance = _fixed(one, other)  # and effect by effect: the kernels of all at once are 40 MB to write
        for variance, a, b, by_a, by_b in zip(self.sds**2, one.codes, other.codes, one.by, other.by, strict=True):
            covariance += (a[:, None] == b) * np.outer(variance * by_a, by_b)
        return covariance

    # -- persistence ---------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores what was learnt."""
        table, arrays = self.table.state()
        return {"table": table, "centre": self.centre}, {**arrays, "sds": self.sds}

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        return cls(CellTable.from_state(state["table"], arrays), state["centre"], arrays["sds"])


@dataclass(frozen=True)
class _Design:
    """Cells as their effects read them.

    Arrays have shape (n_effects, n_cells): `codes` of what the cells of an effect share, and what it is multiplied
    `by`; `reasons` (n_cells,). `codes_by_key`, by effect, holds what has a code here and not in the design before.
    """

    codes: Codes
    by: Floats
    reasons: Floats
    codes_by_key: list[dict[tuple[str, ...], int]]

    @classmethod
    def of(
        cls,
        cells: pd.DataFrame,
        before: list[dict[tuple[str, ...], int]] | None = None,
        odd: Mapping[tuple[str, str], float] | None = None,
    ) -> "_Design":
        """Read described cells; what has a code `before` keeps it, and cells of an `odd` benchmark differ as much."""
        n, columns = len(cells), {name: cells[name].tolist() for name in COLUMNS}
        codes, codes_by_key = np.zeros((len(EFFECTS), n), dtype=np.intp), []
        for place, effect in enumerate(EFFECTS):
            known, new = before[place] if before is not None else {}, dict[tuple[str, ...], int]()
            keys = zip(*(columns[name] for name in effect.keys), strict=True) if effect.keys else [()] * n
            codes[place] = [known[key] if key in known else new.setdefault(key, len(known) + len(new)) for key in keys]
            codes_by_key.append(new)
        by = np.array([columns[effect.by] if effect.by else [1.0] * n for effect in EFFECTS], dtype=np.float64)
        if odd:
            by[OWN] = [odd.get(key, 1.0) for key in zip(columns["source"], columns["benchmark"], strict=True)]
        return cls(codes, by, np.array(columns["reasons"], dtype=np.float64), codes_by_key)


def _kernels(one: _Design, other: _Design) -> Floats:
    """Covariance of each effect at a standard deviation of 1; shape (n_effects, n_one, n_other)."""
    same = one.codes[:, :, None] == other.codes[:, None, :]
    return np.asarray(same * one.by[:, :, None] * other.by[:, None, :])


def _fixed(one: _Design, other: _Design) -> Floats:
    """Covariance of the constant and of the effect of reasoning, both hardly bounded beforehand."""
    return CONSTANT_VARIANCE + REASONING_VARIANCE * np.outer(one.reasons, other.reasons)


def _negative_log_posterior(
    log_sd: Floats, prior: Floats, kernels: Floats, fixed: Floats, error: Floats, residual: Floats
) -> tuple[float, Floats]:
    """Value and gradient; the prior of each log standard deviation is normal about `prior`."""
    variance = np.exp(2 * log_sd)
    covariance = fixed + np.tensordot(variance, kernels, 1)
    covariance[np.diag_indices(len(residual))] += error + JITTER
    factor = cho_factor(covariance, lower=True)
    weighted = cho_solve(factor, residual)
    value = 0.5 * residual @ weighted + np.log(np.diag(factor[0])).sum()
    inverse, _ = dpotri(factor[0], lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    curvature = inverse - np.outer(weighted, weighted)
    gradient = variance * np.tensordot(kernels, curvature, 2)
    away = (log_sd - prior) / PRIOR_LOG_SD
    return float(value + 0.5 * (away**2).sum()), gradient + away / PRIOR_LOG_SD
