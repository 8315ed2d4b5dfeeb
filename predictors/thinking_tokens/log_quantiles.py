"""What the predictor and its baselines share: log tokens, censoring, calibration, the bill."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from ..arrays import Codes, Floats, Mask
from ..base import BasePredictor, Cell
from ..fitting.boosting import map_blocks, row_slices
from ..schemas.requests import CONTEXT_COLUMNS, RUN_COLUMNS, Requests
from ..splits import assign_split
from .heads.calibration import Calibration
from .heads.censoring import ResidualDistribution
from .heads.distribution import COLD, PILOT, WARM, Heads, join_heads
from .known_runs.details import run_details
from .pooling.hierarchy import CATEGORIES, PooledLocation, cell_keys, groups_of
from .shift.queries import RequestForecasts

Pairs = tuple[Codes, Codes]
MEAN_LEVELS: Floats = (np.arange(200) + 0.5) / 200
EM_STEPS = 30
TEXT_STEPS = 2
MIN_GROUPS = 10
FEW_GROUPS = 100
N_PARTS = 5
MIN_INFORMED = 20.0
MAX_LOG = 40.0


@dataclass(frozen=True)
class Runs:
    """Past runs to learn from: `log_tokens` is a lower bound where `is_censored`; all of n_samples rows.

    `details` are those of `details.run_details`, NaN where unknown.
    """

    X: pd.DataFrame
    log_tokens: Floats
    is_censored: Mask
    weight: Floats
    groups: NDArray[np.object_]
    details: Floats

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: Codes | Mask) -> "Runs":
        """The runs at `rows` (positions or a mask)."""
        others = {name: values[rows] for name, values in vars(self).items() if name != "X"}
        return Runs(X=self.X.iloc[rows], **others)

    def narrow(self) -> "Runs":
        """Without what only a fit reads, most of all the texts."""
        kept = [name for name in (*CATEGORIES, "max_tokens") if name in self.X]
        return replace(self, X=self.X[kept])


@dataclass(frozen=True)
class HeldOutForecasts:
    """Runs that a fit has not seen, and its uncalibrated forecasts of them in one regime."""

    regime: int
    runs: Runs
    heads: Heads


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Runs of whole queries that a fit has not seen, and what was drawn for them before they were cut into blocks.

    `draws` (n_samples,), in (0, 1), say which length beyond its cap a censored run is taken to have; `given_runs`, by
    regime, the positions of the runs that know others and of those that they know.
    """

    runs: Runs
    draws: Floats
    given_runs: dict[int, Pairs]

    def blocks(self) -> "list[HeldOut]":
        """Blocks of about `fitting.boosting.BLOCK_ROWS` rows, whole queries; itself where it is no larger."""
        slices = row_slices(len(self.runs))
        if len(slices) == 1:
            return [self]
        codes, _ = pd.factorize(self.runs.groups)
        first = np.cumsum(np.bincount(codes)) - np.bincount(codes)
        of_row = np.searchsorted([rows.stop for rows in slices], first, side="right")[codes]
        return [self._block(of_row == block) for block in np.unique(of_row)]

    def _block(self, inside: Mask) -> "HeldOut":
        place = np.cumsum(inside) - 1
        pairs = {
            regime: (place[target[inside[target]]], place[source[inside[target]]])
            for regime, (target, source) in self.given_runs.items()
        }
        return HeldOut(self.runs.take(inside), self.draws[inside], pairs)


def run_weights(X: pd.DataFrame, groups: pd.Series) -> Floats:
    """Weight of each run such that every query counts once per model and setting; shape (n_samples,)."""
    cell, cells = groups_of(X, CATEGORIES)
    codes, _ = pd.factorize(pd.factorize(groups)[0] * len(cells) + cell)
    return np.asarray(1.0 / np.bincount(codes)[codes])


def complete_censored(runs: Runs, location: PooledLocation) -> tuple[Floats, ResidualDistribution | None]:
    """Fit `location` (already prepared for `runs`) to runs of which some are lower bounds.

    Returns log tokens (n_samples,), a lower bound replaced by their expectation given that it is exceeded, and the
    distribution of residuals, None where nothing is censored.
    """
    z, is_censored = runs.log_tokens, runs.is_censored
    if not is_censored.any():
        location.fit(z)
        return z, None
    expected, cut = z.copy(), np.flatnonzero(is_censored)
    residuals = ResidualDistribution()
    for step in range(EM_STEPS + TEXT_STEPS):
        fitted = location.fit_intercepts(expected) if step < EM_STEPS else location.fit(expected)
        residuals.fit(z - fitted, is_censored, runs.weight)
        expected[cut] = fitted[cut] + residuals.mean_beyond(z[cut] - fitted[cut])
    location.fit(expected)
    return expected, residuals


class LogQuantilePredictor(BasePredictor):
    """Base of the family: learns quantiles of log output tokens, calibrates them on held-out queries.

    A subclass writes `_fit_heads` and `_heads`. The target is output tokens (reasoning included). Where
    `max_tokens` is known the forecast is clipped there: tokens billed are ``min(Y, max_tokens)``, and
    quantiles commute with that (Powell 1986, Censored regression quantiles).
    """

    family: ClassVar[str] = "thinking_tokens"
    scope_columns: ClassVar[tuple[str, ...]] = ("model", "reasoning_effort")
    input_schema: ClassVar[type[pa.DataFrameModel]] = Requests

    calibration_share: float
    refit: bool
    random_state: int | None
    residuals_: ResidualDistribution | None

    # -- what a subclass writes --------------------------------------------------------------------
    def _fit_heads(self, runs: Runs, rng: np.random.Generator) -> None:
        """Learn from the training runs; sets ``residuals_``."""
        raise NotImplementedError

    def _heads(self, X: pd.DataFrame) -> Heads:
        """Uncalibrated log quantiles."""
        raise NotImplementedError

    def _location(self, X: pd.DataFrame) -> Floats:
        """Centre of log tokens, that residuals of censored runs are taken from; shape (n_samples,)."""
        raise NotImplementedError

    def _shared_deviation(self, X: pd.DataFrame) -> Floats:
        """Standard deviation, in log tokens, of the error that all requests of a cell share; shape (n_samples,)."""
        raise NotImplementedError

    def _sample_given_runs(self, runs: Runs, rng: np.random.Generator) -> dict[int, Pairs]:
        """Which other runs of its query each of `runs` is taken to know, by regime; none by default."""
        return {}

    def _forecast_block(self, held: HeldOut) -> list[HeldOutForecasts]:
        """Forecasts of runs that the fit has not seen, in every regime; what it says of a query rests on it alone."""
        runs = replace(held.runs, log_tokens=self._completed(held.runs, None, held.draws))
        return [HeldOutForecasts(COLD, runs.narrow(), self._heads(runs.X))]

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        tokens = y.to_numpy(dtype=np.float64)
        run_columns = (X[c].to_numpy(np.float64) if c in X else np.full(len(X), np.nan) for c in RUN_COLUMNS)
        details = run_details(tokens, *run_columns)
        # What is known of a query is in the runs.
        X = X.drop(columns=[*CONTEXT_COLUMNS, *RUN_COLUMNS], errors="ignore")
        rng = np.random.default_rng(self.random_state)
        runs = Runs(
            X,
            np.log(np.maximum(tokens, 1.0)),
            is_censored.to_numpy(dtype=bool),
            run_weights(X, groups),
            groups.to_numpy(dtype=object),
            details,
        )
        held_out = [held for held in self._held_out(groups) if not runs.is_censored[~held].all()]
        self.calibrations_ = {regime: Calibration() for regime in (COLD, WARM, PILOT)}
        forecasts: list[HeldOutForecasts] = []
        for held in held_out:
            self._fit_heads(runs.take(~held), rng)
            forecasts += self._forecast_held_out(runs.take(held), rng)
        if len(held_out) != 1 or self.refit:
            self._fit_heads(runs, rng)
        if forecasts:
            self._calibrate(forecasts)

    def _held_out(self, groups: pd.Series) -> list[Mask]:
        """Rows that calibrate: a hash of the group decides, so refits agree.

        One part of the groups where there are many; where there are few each of five parts in turn; none where
        there are hardly any.
        """
        n = groups.nunique()
        if n < MIN_GROUPS:
            return []
        if n < FEW_GROUPS:
            parts = assign_split(groups, fractions={str(i): 1 / N_PARTS for i in range(N_PARTS)}, salt="calibration")
            return [(parts == part).to_numpy(dtype=bool) for part in sorted(parts.unique()) if (parts != part).any()]
        fractions = {"train": 1 - self.calibration_share, "calibration": self.calibration_share}
        held = assign_split(groups, fractions=fractions, salt="calibration") == "calibration"
        return [held.to_numpy(dtype=bool)] if held.any() else []

    def _completed(self, runs: Runs, location: Floats | None, draws: Floats) -> Floats:
        """Log tokens with a draw in place of every lower bound."""
        if self.residuals_ is None or not runs.is_censored.any():
            return runs.log_tokens
        centre = self._location(runs.X) if location is None else location
        whole, cut = runs.log_tokens.copy(), np.flatnonzero(runs.is_censored)
        whole[cut] = centre[cut] + self.residuals_.draw_beyond(whole[cut] - centre[cut], draws[cut])
        return whole

    def _forecast_held_out(self, runs: Runs, rng: np.random.Generator) -> list[HeldOutForecasts]:
        """Forecasts of held-out runs by the fit as it is now, beside their outcomes, in every regime."""
        held = HeldOut(runs, rng.random(len(runs)), self._sample_given_runs(runs, rng))
        return [forecasts for block in map_blocks(self._forecast_block, held.blocks()) for forecasts in block]

    def _calibrate(self, forecasts: list[HeldOutForecasts]) -> None:
        for regime in (COLD, WARM, PILOT):
            parts = [part for part in forecasts if part.regime == regime]
            weight = np.concatenate([part.runs.weight for part in parts]) if parts else np.zeros(0)
            if regime != COLD and weight.sum() < MIN_INFORMED:
                # Until they have learnt their own, informed forecasts are calibrated like cold ones.
                self.calibrations_[regime] = self.calibrations_[COLD]
                continue
            cells = np.concatenate([cell_keys(part.runs.X, CATEGORIES) for part in parts])
            z = np.concatenate([part.runs.log_tokens for part in parts])
            heads = np.concatenate([part.heads.values for part in parts])
            self.calibrations_[regime] = Calibration().fit_offsets(cells, z, heads, weight)
            billed = np.concatenate([self._clipped(part.runs.X, np.exp(part.runs.log_tokens)) for part in parts])
            means = np.concatenate([self._raw_mean(part.runs.X, part.heads) for part in parts])
            self.calibrations_[regime].fit_factors(cells, billed, means, weight)

    # -- forecasts -----------------------------------------------------------------------------------
    def _calibrated(self, X: pd.DataFrame, heads: Heads) -> Heads:
        cells = cell_keys(X, CATEGORIES)
        values = np.sort(heads.values, axis=1)
        for regime, calibration in self.calibrations_.items():
            rows = heads.regime == regime
            if rows.any():
                values[rows] += calibration.offsets_at(cells[rows])
        return heads.replace_values(values)

    def _clipped(self, X: pd.DataFrame, tokens: Floats) -> Floats:
        if "max_tokens" not in X:
            return tokens
        cap = X["max_tokens"].to_numpy(dtype=np.float64)
        return np.asarray(np.fmin(tokens, cap.reshape(-1, *[1] * (tokens.ndim - 1))))

    def _tokens(self, X: pd.DataFrame, heads: Heads, levels: Floats) -> Floats:
        return self._clipped(X, np.exp(np.minimum(join_heads(self._calibrated(X, heads), levels), MAX_LOG)))

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        return self._tokens(X, self._heads(X), levels)

    def _raw_mean(self, X: pd.DataFrame, heads: Heads) -> Floats:
        kept = X[[name for name in (*CATEGORIES, "max_tokens") if name in X]]
        parts = np.array_split(np.arange(len(X)), max(1, len(X) // 4096))
        return np.concatenate(
            [self._tokens(kept.iloc[rows], heads.select(rows), MEAN_LEVELS).mean(axis=1) for rows in parts]
        )

    def _predict_both(self, X: pd.DataFrame, levels: Floats) -> tuple[Floats, Floats]:
        heads = self._heads(X)
        return self._tokens(X, heads, levels), self._mean_of(X, heads)

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        return self._mean_of(X, self._heads(X))

    def _mean_of(self, X: pd.DataFrame, heads: Heads) -> Floats:
        cells = cell_keys(X, CATEGORIES)
        factors = np.ones(len(X))
        for regime, calibration in self.calibrations_.items():
            rows = heads.regime == regime
            factors[rows] = calibration.factors_at(cells[rows])
        return self._clipped(X, self._raw_mean(X, heads) * factors)

    @property
    def known_models(self) -> frozenset[str]:
        """Models that runs were learnt from, one's own or public ones."""
        return frozenset(cell[0] for cell in self.seen_cells)

    @property
    def seen_cells(self) -> frozenset[Cell]:
        """Cells that runs were learnt from, wherever."""
        return self.known_cells or frozenset()

    def shared_deviation(self, X: pd.DataFrame) -> pd.Series:
        """Standard deviation, in log tokens, of the error that all requests of a cell share; for sums of many."""
        self._check_fitted()
        X = self._validate(X)
        return pd.Series(self._shared_deviation(X), index=X.index, name="shared_deviation")

    def unseen_part(self, X: pd.DataFrame) -> tuple[Mask, RequestForecasts | None]:
        """Which requests are in cells that were trained on, and the forecasts of the others (None: there are none).

        A predictor that does not tell them apart treats all alike.
        """
        return np.ones(len(X), dtype=bool), None

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        """Dollars of the forecast (``cost_mean_usd``, ``cost_lower_90_usd``, ...); null where no price is known."""
        from .prices.cost import price_forecast

        return price_forecast(X, forecast)

    # -- persistence ---------------------------------------------------------------------------------
    def _calibration_state(self) -> dict[str, Any]:
        return {"calibrations": {str(regime): c.state() for regime, c in self.calibrations_.items()}}

    def _load_calibration(self, state: dict[str, Any]) -> None:
        self.calibrations_ = {int(k): Calibration.from_state(v) for k, v in state["calibrations"].items()}
