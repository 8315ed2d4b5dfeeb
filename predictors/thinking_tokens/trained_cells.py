"""Forecasts in cells that were trained on: pooled location, LightGBM quantile heads, conformal calibration."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, Mask, load_arrays, save_arrays
from ..fitting.boosting import row_slices
from ..fitting.text.features import SETTINGS, TextEmbedding, settings_matrix
from ..splits import assign_split
from .heads.boosting import Boosting, load_boosters, rows_learnt, save_boosters
from .heads.distribution import COLD, HEAD_LEVELS, PILOT, WARM, Heads, PooledQuantiles, curve_spreads, evaluate_curves
from .known_runs.context import CONFIG, FlatContext, flatten_context, sample_context
from .known_runs.knowledge import QueryKnowledge
from .log_quantiles import HeldOut, HeldOutForecasts, LogQuantilePredictor, Pairs, Runs, complete_censored
from .pooling.cells import RowFeatures
from .pooling.hierarchy import CATEGORIES, PooledLocation, cell_keys, out_of_fold, text_share

SHAPE_LEVELS = (("model",), ("model", "benchmark"), ("model", "benchmark", "reasoning_effort"))
QUERIES_PER_LEAF = 5
N_FOLDS = 5
"""Folds, by query, of the out-of-fold location."""
BOOSTED_COMPONENTS = 25
"""Dimensions of each TF-IDF part that the heads read too."""
N_PLAIN = len(CATEGORIES) + 2 + len(SETTINGS)


@dataclass(kw_only=True, eq=False, repr=False)
class TrainedCellsPredictor(LogQuantilePredictor):
    """Forecasts output tokens (reasoning included) where runs of the model and the benchmark were seen.

    1. *Location*: intercepts and text slopes, pooled over model, benchmark and effort
       (`hierarchy.PooledLocation`), censored runs completed (`censoring`).
    2. *Heads*: for each of `HEAD_LEVELS`, LightGBM with the quantile objective, boosted from the
       out-of-fold location plus the cell's pooled residual quantile.
    3. *Calibration*: conformal offsets per level and cell on held-out queries, shrunk towards the overall
       ones (`foretell.predictors.fitting.conformal`); a factor per cell for the mean, so that bills add up.

    Parameters
    ----------
    n_estimators, learning_rate, num_leaves, min_child_samples : int, float
        LightGBM, of each head.
    n_components : int
        Dimensions of each of the two TF-IDF parts that the location reads.
    slope_penalty : float
        See `PooledLocation`.
    calibration_share : float
        Share of the queries held out for calibration.
    refit : bool
        Whether to learn again from every query once the held-out ones have calibrated. The offsets then belong
        to a fit on fewer queries, so coverage is no longer guaranteed but, if anything, a little high.
    num_threads : int
        Threads of LightGBM.
    text_parts : tuple of str
        What is read of a text beside its statistics, see `TextEmbedding`.
    public : bool
        Whether forecasts of cells without runs rest on the public figures of the package as well
        (`shift.public.public_runs`).
    heads : bool
        False leaves out all that is above: cells that were trained on are forecast by what cells share too, and a fit
        takes seconds.
    random_state : int, optional
        Seed of everything random.
    """

    n_estimators: int = 80
    learning_rate: float = 0.05
    num_leaves: int = 8
    min_child_samples: int = 40
    n_components: int = 150
    slope_penalty: float = 8.0
    calibration_share: float = 0.2
    refit: bool = True
    num_threads: int = 1
    text_parts: tuple[str, ...] = ("word", "char")
    public: bool = False
    heads: bool = True
    random_state: int | None = 0

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self.embedding_ = TextEmbedding(
            parts=self.text_parts, n_components=self.n_components, random_state=self.random_state
        )
        super()._fit(X, y, groups, is_censored)
        self.embedding_.release()

    def _fit_heads(self, runs: Runs, rng: np.random.Generator) -> None:
        X = runs.X
        texts = X["prompt_text"] if "prompt_text" in X else pd.Series(None, index=X.index, dtype=object)
        embedded = self.embedding_.fit_embedded(texts)
        self.location_ = self._new_location().prepare(X, embedded, runs.weight)
        expected, self.residuals_ = complete_censored(runs, self.location_)
        self.location_.release()
        self.categories_ = {
            name: sorted(X[name].dropna().unique().tolist()) if name in X else [] for name in CATEGORIES
        }
        base, text = self._out_of_fold(runs, embedded, expected)
        # Many runs of few texts fit the texts themselves: what other texts do not confirm is taken back.
        share = text_share(expected - base, text, runs.weight)
        self.location_.scale_slopes(share)
        text *= share
        whole = self._completed(runs, base + text, rng.random(len(runs)))
        residual = whole - base - text
        self.shapes_ = PooledQuantiles(SHAPE_LEVELS).fit(X, residual, runs.weight)
        codes, curves = self.shapes_.lookup(X)
        location = base + text
        plain = self._plain(X, base, text)
        learnt, weight = rows_learnt(cell_keys(X, CATEGORIES), runs.groups, runs.weight)
        starts = location[learnt, None] + evaluate_curves(curves, np.array(HEAD_LEVELS))[codes[learnt]]
        columns = self._columns(plain, embedded, learnt)
        del embedded
        self.cold_ = self._boosting(runs).quantiles(columns, whole[learnt], starts, weight)
        del columns, starts
        self.knowledge_ = QueryKnowledge().fit(runs, plain, location, whole, self.shapes_, self._boosting(runs), rng)

    def _new_location(self) -> PooledLocation:
        return PooledLocation(slope_penalty=self.slope_penalty)

    def _out_of_fold(self, runs: Runs, embedded: RowFeatures, z: Floats) -> tuple[Floats, Floats]:
        """Intercept and text effect of each training row, from fits that have not seen its query."""
        fractions = {str(fold): 1 / N_FOLDS for fold in range(N_FOLDS)}
        codes, _ = pd.factorize(assign_split(pd.Series(runs.groups), fractions=fractions, salt="fold"), sort=True)
        return out_of_fold(self._new_location, runs.X, embedded, runs.weight, z, codes)

    def _sample_given_runs(self, runs: Runs, rng: np.random.Generator) -> dict[int, Pairs]:
        if self.knowledge_.informed is None:
            return {}
        configs = cell_keys(runs.X, CONFIG)
        return {regime: sample_context(runs.groups, configs, rng, pilots=regime == PILOT) for regime in (WARM, PILOT)}

    def _forecast_block(self, held: HeldOut) -> list[HeldOutForecasts]:
        X, embedded = held.runs.X, self._embed(held.runs.X)
        location = self.location_.intercept(X) + self.location_.text_effect(X, embedded)
        runs = replace(held.runs, log_tokens=self._completed(held.runs, location, held.draws))
        forecasts = [HeldOutForecasts(COLD, runs.narrow(), self._heads_given(X, embedded, None))]
        for regime, (target, source) in held.given_runs.items():
            flat_context = FlatContext(
                target,
                X.iloc[source].reset_index(drop=True),
                np.exp(runs.log_tokens[source]),
                np.zeros(len(source), dtype=bool),
                runs.details[source],
            )
            heads = self._heads_given(X, embedded, flat_context)
            rows = np.flatnonzero(heads.regime == regime)
            if len(rows):
                forecasts.append(HeldOutForecasts(regime, runs.take(rows).narrow(), heads.select(rows)))
        return forecasts

    def _boosting(self, runs: Runs | None = None) -> Boosting:
        """Settings of the heads; while they learn, a leaf holds at least five queries' worth of runs."""
        per_leaf = 0.0 if runs is None else QUERIES_PER_LEAF * len(runs) / len(set(runs.groups))
        return Boosting(
            self.n_estimators,
            self.learning_rate,
            self.num_leaves,
            max(self.min_child_samples, int(np.ceil(per_leaf))),
            self.num_threads,
            self.random_state,
        )

    # -- forecasts -----------------------------------------------------------------------------------
    def _embed(self, X: pd.DataFrame) -> Floats:
        return self.embedding_.transform(X["prompt_text"].tolist() if "prompt_text" in X else [None] * len(X))

    def _plain(self, X: pd.DataFrame, base: Floats, text: Floats) -> Floats:
        """Columns that all heads read: categories first, then what is numeric; shape (n_samples, N_PLAIN)."""
        codes = []
        for name in CATEGORIES:
            of_row, names = pd.factorize(X[name]) if name in X else (np.full(len(X), -1), ())
            known = {category: float(code) for code, category in enumerate(self.categories_[name])}
            codes.append(np.array([*(known.get(value, np.nan) for value in names), np.nan])[of_row])  # -1: null
        return np.column_stack([*codes, base, text, *settings_matrix(X).T])

    def _columns(self, plain: Floats, embedded: RowFeatures, rows: Codes) -> Floats:
        """Columns of the heads that know no run, of `rows`: `plain`, then the leading axes of the text."""
        leading = self.embedding_.leading(BOOSTED_COMPONENTS)
        columns = np.empty((len(rows), N_PLAIN + len(leading)))
        columns[:, :N_PLAIN] = plain[rows]
        for block in row_slices(len(rows)):
            columns[block, N_PLAIN:] = embedded[rows[block]][:, leading]
        return columns

    def _location(self, X: pd.DataFrame) -> Floats:
        return self.location_.intercept(X) + self.location_.text_effect(X, self._embed(X))

    @property
    def noise_factor(self) -> float:
        """Factor within which 90 % of the runs of one request lie around its typical run; learnt from repeats.

        Where nothing was repeated it rests on an assumption: noise is a quarter of the variance of a run.
        """
        self._check_fitted()
        spread = float(curve_spreads(self.shapes_.curves_[0][""][None])[0])
        return float(np.exp(1.645 * spread * np.sqrt(self.knowledge_.effects.usual_noise)))

    def _heads(self, X: pd.DataFrame) -> Heads:
        return self._heads_given(X, self._embed(X), flatten_context(X))

    def _heads_given(self, X: pd.DataFrame, embedded: Floats, flat_context: FlatContext | None) -> Heads:
        base, text = self.location_.intercept(X), self.location_.text_effect(X, embedded)
        codes, curves = self.shapes_.lookup(X)
        plain = self._plain(X, base, text)
        shape = evaluate_curves(curves, np.array(HEAD_LEVELS))[codes]
        heads = Heads.cold((base + text)[:, None] + shape, codes, curves)
        if flat_context is not None:
            known = flat_context.frame
            expected = self.location_.intercept(known)
            expected += self.location_.text_effect(known, embedded[flat_context.target])
            context = self.knowledge_.context_runs(X, flat_context, expected, self.shapes_)
            heads = self.knowledge_.inform(X, heads, plain, base + text, context, self._is_trained(X))
        cold = (heads.regime == COLD) & self._is_trained(X)
        if cold.any():
            columns = self._columns(plain, embedded, np.flatnonzero(cold))
            heads.values[cold] += self._boosting().predict(self.cold_, columns)
        return heads

    def _is_trained(self, X: pd.DataFrame) -> Mask:
        """True for models that were trained on; what the heads learnt does not hold for others."""
        return X["model"].isin(self.categories_["model"]).to_numpy(dtype=bool)

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        location, arrays = self.location_.state()
        save_arrays(path / "location.safetensors", arrays)
        shapes, arrays = self.shapes_.state()
        save_arrays(path / "shapes.safetensors", arrays)
        return {
            "embedding": self.embedding_.save(path / "embedding.safetensors"),
            "location": location,
            "shapes": shapes,
            "cold": save_boosters(path, "cold", self.cold_),
            **self.knowledge_.save(path),
            "categories": self.categories_,
            **self._calibration_state(),
        }

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.embedding_ = TextEmbedding.load(path / "embedding.safetensors", state["embedding"])
        self.location_ = PooledLocation.from_state(state["location"], load_arrays(path / "location.safetensors"))
        self.shapes_ = PooledQuantiles.from_state(state["shapes"], load_arrays(path / "shapes.safetensors"))
        self.cold_ = load_boosters(path, "cold", state["cold"])
        self.knowledge_ = QueryKnowledge.load(path, state, self._boosting())
        self.categories_ = state["categories"]
        self._load_calibration(state)
