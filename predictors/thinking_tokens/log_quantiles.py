"""What the predictor and its baselines share: log tokens, censoring, calibration, the bill, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from predictors.base import BasePredictor
from predictors.conformal import SHRINKAGE, level_offsets
from predictors.schemas.requests import Requests
from predictors.splits import assign_split
from predictors.thinking_tokens.censoring import ResidualDistribution
from predictors.thinking_tokens.distribution import HEAD_LEVELS, join_heads
from predictors.thinking_tokens.hierarchy import CATEGORIES, PooledLocation, cell_keys

__all__ = ["Floats", "LogQuantilePredictor", "complete_censored", "run_weights"]

Floats = NDArray[np.float64]
MEAN_LEVELS: Floats = (np.arange(200) + 0.5) / 200
MEAN_SHRINKAGE = 100.0
EM_STEPS = 30


def run_weights(X: pd.DataFrame, groups: pd.Series) -> Floats:
    """Weight of each run such that every query counts once per model and setting; shape (n_samples,)."""
    keys = pd.MultiIndex.from_arrays([groups.to_numpy(), cell_keys(X, CATEGORIES)])
    codes, _ = pd.factorize(keys)
    return np.asarray(1.0 / np.bincount(codes)[codes])


def complete_censored(
    z: Floats,
    is_censored: NDArray[np.bool_],
    location: PooledLocation,
    weight: Floats,
    *,
    n_text_steps: int = 2,
) -> tuple[Floats, ResidualDistribution | None, Floats]:
    """Fit `location` (already prepared) to runs of which some are lower bounds.

    Returns
    -------
    expected : ndarray of shape (n_samples,)
        `z`, and where it is a lower bound its expectation given that it is exceeded.
    residuals : ResidualDistribution or None
        None where nothing is censored.
    fitted : ndarray of shape (n_samples,)
        Location of each run.
    """
    if not is_censored.any():
        return z, None, location.fit(z)
    expected = z
    residuals = ResidualDistribution()
    for step in range(EM_STEPS + n_text_steps):
        fitted = location.fit_intercepts(expected) if step < EM_STEPS else location.fit(expected)
        residuals.fit(z - fitted, is_censored, weight)
        expected = np.where(is_censored, fitted + residuals.mean_beyond(z - fitted), z)
    return expected, residuals, location.fit(expected)


class LogQuantilePredictor(BasePredictor):
    """Base of the family: learns quantiles of log output tokens, calibrates them on held-out queries.

    A subclass writes `_fit_heads` and `_heads`. The target is output tokens (reasoning included). Where
    `max_tokens` is known the forecast is clipped there: tokens billed are ``min(Y, max_tokens)``, and
    quantiles commute with that (Powell 1986, Censored regression quantiles).
    """

    family: ClassVar[str] = "thinking_tokens"
    input_schema: ClassVar[type[pa.DataFrameModel]] = Requests

    calibration_share: float
    random_state: int | None

    # -- what a subclass writes --------------------------------------------------------------------
    def _fit_heads(
        self, X: pd.DataFrame, z: Floats, is_censored: NDArray[np.bool_], weight: Floats, groups: pd.Series
    ) -> None:
        """Learn from training rows; `z` is log tokens, a lower bound where `is_censored`."""
        raise NotImplementedError

    def _heads(self, X: pd.DataFrame) -> tuple[Floats, NDArray[np.intp], Floats]:
        """Log quantiles at `HEAD_LEVELS`, and the curve of each row as `PooledQuantiles.lookup` gives it."""
        raise NotImplementedError

    def _location(self, X: pd.DataFrame) -> Floats:
        """Centre of log tokens that residuals of censored calibration rows are taken from."""
        raise NotImplementedError

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        z = np.log(np.maximum(y.to_numpy(dtype=np.float64), 1.0))
        censored = is_censored.to_numpy(dtype=bool)
        weight = run_weights(X, groups)
        held = self._held_out(groups).to_numpy()
        if censored[~held].all():
            held = np.zeros(len(X), dtype=bool)
        rng = np.random.default_rng(self.random_state)
        self.rng_draws_ = rng.random(len(X))
        self.offsets_ = np.zeros(len(HEAD_LEVELS))
        self.cell_offsets_: dict[str, Floats] = {}
        self.mean_factor_ = 1.0
        self.cell_mean_factors_: dict[str, float] = {}
        self.residuals_: ResidualDistribution | None = None
        draws, self.rng_draws_ = self.rng_draws_, self.rng_draws_[~held]
        self._fit_heads(X[~held], z[~held], censored[~held], weight[~held], groups[~held])
        del self.rng_draws_
        if held.any():
            known = X["max_tokens"].notna().to_numpy() if "max_tokens" in X else np.zeros(len(X), dtype=bool)
            whole = self._completed(X[held], z[held], censored[held], draws[held])
            billed = np.where(known[held], y.to_numpy()[held], np.exp(whole))
            self._calibrate(X[held], whole, billed, weight[held])

    def _held_out(self, groups: pd.Series) -> pd.Series:
        """True for the rows that calibrate: a hash of the group decides, so refits agree."""
        if groups.nunique() < 20:
            return pd.Series(False, index=groups.index)
        fractions = {"train": 1 - self.calibration_share, "calibration": self.calibration_share}
        return assign_split(groups, fractions=fractions, salt="calibration") == "calibration"

    def _completed(self, X: pd.DataFrame, z: Floats, censored: NDArray[np.bool_], u: Floats) -> Floats:
        """`z` with a draw in place of every lower bound."""
        if self.residuals_ is None or not censored.any():
            return z
        location = self._location(X)
        return np.where(censored, location + self.residuals_.draw_beyond(z - location, u), z)

    def _calibrate(self, X: pd.DataFrame, z: Floats, billed: Floats, weight: Floats) -> None:
        heads = np.sort(self._heads(X)[0], axis=1)
        cells = cell_keys(X, CATEGORIES)
        self.offsets_ = level_offsets(z, heads, HEAD_LEVELS, weight)
        rows_of = {str(cell): np.flatnonzero(cells == cell) for cell in pd.unique(cells)}
        for cell, rows in rows_of.items():
            n = weight[rows].sum()
            own = level_offsets(z[rows], heads[rows], HEAD_LEVELS, weight[rows])
            self.cell_offsets_[cell] = (n * own + SHRINKAGE * self.offsets_) / (n + SHRINKAGE)
        means = self._raw_mean(X)
        ratios = {c: np.average(billed[r], weights=weight[r]) / np.average(means[r], weights=weight[r])
                  for c, r in rows_of.items()}  # fmt: skip
        sizes = {c: weight[r].sum() for c, r in rows_of.items()}
        logs = np.array([np.log(max(ratios[c], 1e-3)) for c in ratios])
        shares = np.array([sizes[c] / (sizes[c] + MEAN_SHRINKAGE) for c in ratios])
        overall = float(np.average(logs, weights=shares))
        self.mean_factor_ = float(np.exp(overall))
        self.cell_mean_factors_ = {
            c: float(np.exp(share * log + (1 - share) * overall))
            for c, share, log in zip(ratios, shares, logs, strict=True)
        }

    # -- forecasts -----------------------------------------------------------------------------------
    def _log_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        heads, codes, curves = self._heads(X)
        cell_codes, cells = pd.factorize(cell_keys(X, CATEGORIES))
        offsets = np.array([self.cell_offsets_.get(str(cell), self.offsets_) for cell in cells])
        return join_heads(np.sort(heads, axis=1) + offsets[cell_codes], codes, curves, levels)

    def _clipped(self, X: pd.DataFrame, tokens: Floats) -> Floats:
        if "max_tokens" not in X:
            return tokens
        cap = X["max_tokens"].to_numpy(dtype=np.float64)
        return np.asarray(np.fmin(tokens, cap.reshape(-1, *[1] * (tokens.ndim - 1))))

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        return self._clipped(X, np.exp(np.minimum(self._log_quantiles(X, levels), 40.0)))

    def _raw_mean(self, X: pd.DataFrame) -> Floats:
        chunks = [
            self._predict_quantiles(X.iloc[at : at + 4096], MEAN_LEVELS).mean(axis=1) for at in range(0, len(X), 4096)
        ]
        return np.concatenate(chunks)

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        codes, cells = pd.factorize(cell_keys(X, CATEGORIES))
        factors = np.array([self.cell_mean_factors_.get(str(cell), self.mean_factor_) for cell in cells])
        return self._clipped(X, self._raw_mean(X) * factors[codes])

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        """Dollars of the forecast (``cost_mean_usd``, ``cost_lower_90_usd``, ...); null where no price is known."""
        from predictors.thinking_tokens.cost import price_forecast

        return price_forecast(X, forecast)

    # -- persistence ---------------------------------------------------------------------------------
    def _calibration_state(self) -> dict[str, Any]:
        return {
            "offsets": self.offsets_.tolist(),
            "cell_offsets": {cell: offsets.tolist() for cell, offsets in self.cell_offsets_.items()},
            "mean_factor": self.mean_factor_,
            "cell_mean_factors": self.cell_mean_factors_,
        }

    def _load_calibration(self, state: dict[str, Any]) -> None:
        self.offsets_ = np.array(state["offsets"])
        self.cell_offsets_ = {cell: np.array(offsets) for cell, offsets in state["cell_offsets"].items()}
        self.mean_factor_ = state["mean_factor"]
        self.cell_mean_factors_ = state["cell_mean_factors"]


def save_arrays(path: Path, arrays: dict[str, Floats]) -> None:
    """Write float64 arrays to a safetensors file; empty ones too."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
