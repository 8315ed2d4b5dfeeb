"""The thinking-token predictor: pooled location, LightGBM quantile heads, conformal calibration."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.boosting import row_slices
from predictors.errors import InvalidInputError
from predictors.splits import assign_split
from predictors.thinking_tokens.adaptation import common_spread, learn_anchors
from predictors.thinking_tokens.boosting import Boosting, load_boosters, save_boosters
from predictors.thinking_tokens.cells import CellLocation, RowFeatures, out_of_fold
from predictors.thinking_tokens.context import (
    CONFIG,
    FlatContext,
    flatten_context,
    sample_context,
)
from predictors.thinking_tokens.copula import ContextRuns
from predictors.thinking_tokens.distribution import (
    COLD,
    HEAD_LEVELS,
    PILOT,
    WARM,
    Heads,
    PooledQuantiles,
    evaluate_curves,
)
from predictors.thinking_tokens.features import SETTINGS, TextEmbedding, settings_matrix
from predictors.thinking_tokens.hierarchy import CATEGORIES, SEPARATOR, PooledLocation, cell_keys, text_share
from predictors.thinking_tokens.knowledge import QueryKnowledge
from predictors.thinking_tokens.log_quantiles import (
    Floats,
    HeldOut,
    Judged,
    LogQuantilePredictor,
    Pairs,
    Runs,
    complete_censored,
    save_arrays,
)

__all__ = ["ThinkingTokensPredictor"]

SHAPE_LEVELS = (("model",), ("model", "benchmark"), ("model", "benchmark", "reasoning_effort"))
QUERIES_PER_LEAF = 5
SUMS_FROM_ROWS = 50_000
"""From so many rows on, the location is fitted to sums by cell: the same but for rounding, in a fraction of time and
memory. Fewer rows keep their arithmetic to the last bit, since a rounding moves draws beyond caps, and trees."""
N_PLAIN = len(CATEGORIES) + 2 + len(SETTINGS)


class ThinkingTokensPredictor(LogQuantilePredictor):
    """Forecasts output tokens (reasoning included) of requests that were not sent yet.

    1. *Location*: intercepts and text slopes, pooled over model, benchmark and effort
       (`hierarchy.PooledLocation`), censored runs completed (`censoring`).
    2. *Heads*: for each of `HEAD_LEVELS`, LightGBM with the quantile objective, boosted from the
       out-of-fold location plus the cell's pooled residual quantile.
    3. *Calibration*: conformal offsets per level and cell on held-out queries, shrunk towards the overall
       ones (`predictors.conformal`); a factor per cell for the mean, so that bills add up.

    Parameters
    ----------
    n_estimators, learning_rate, num_leaves, min_child_samples : int, float
        LightGBM, of each head.
    n_components : int
        Dimensions of each of the two TF-IDF parts that the location reads.
    n_boosted_components : int
        How many of them the heads read too.
    slope_penalty, intercept_penalty : float
        See `PooledLocation`.
    n_folds : int
        Folds, by query, of the out-of-fold location.
    calibration_share : float
        Share of the queries held out for calibration.
    refit : bool
        Whether to learn again from every query once the held-out ones have calibrated. The offsets then belong
        to a fit on fewer queries, so coverage is no longer guaranteed but, if anything, a little high.
    num_threads : int
        Threads of LightGBM.
    text_parts : tuple of str
        What is read of a text beside its statistics, see `TextEmbedding`.
    random_state : int, optional
        Seed of everything random.
    """

    def __init__(
        self,
        *,
        n_estimators: int = 80,
        learning_rate: float = 0.05,
        num_leaves: int = 8,
        min_child_samples: int = 40,
        n_components: int = 150,
        n_boosted_components: int = 25,
        slope_penalty: float = 8.0,
        intercept_penalty: float = 2.0,
        n_folds: int = 5,
        calibration_share: float = 0.2,
        refit: bool = True,
        num_threads: int = 1,
        text_parts: tuple[str, ...] = ("word", "char"),
        random_state: int | None = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.n_components = n_components
        self.n_boosted_components = n_boosted_components
        self.slope_penalty = slope_penalty
        self.intercept_penalty = intercept_penalty
        self.n_folds = n_folds
        self.calibration_share = calibration_share
        self.refit = refit
        self.num_threads = num_threads
        self.text_parts = text_parts
        self.random_state = random_state

    # -- fitting -------------------------------------------------------------------------------------
    def _fit_heads(self, runs: Runs, rng: np.random.Generator) -> None:
        X = runs.X
        texts = X["prompt_text"] if "prompt_text" in X else pd.Series(None, index=X.index, dtype=object)
        known = sorted(set(texts.dropna()))
        embedding = TextEmbedding(parts=self.text_parts, n_components=self.n_components, random_state=self.random_state)
        self.embedding_ = embedding.fit(known)
        embedded: RowFeatures
        if len(runs) < SUMS_FROM_ROWS:
            embedded = self._embed(X)
            self.location_ = self._new_row_location().prepare(X, embedded, runs.weight)
        else:
            embedded = self.embedding_.embedded(texts.tolist())
            self.location_ = self._new_cell_location().prepare(X, embedded, runs.weight)
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
        starts = (base + text)[:, None] + evaluate_curves(curves, np.array(HEAD_LEVELS))[codes]
        columns = self._columns(X, embedded, base, text)
        del embedded  # the largest table of a large fit
        self.cold_ = self._boosting(runs).quantiles(columns, whole, starts, runs.weight)
        plain = columns[:, :N_PLAIN].copy()
        del columns, starts
        self.knowledge_ = QueryKnowledge().fit(runs, plain, base + text, whole, self.shapes_, self._boosting(runs), rng)

    def _new_row_location(self) -> PooledLocation:
        return PooledLocation(intercept_penalty=self.intercept_penalty, slope_penalty=self.slope_penalty)

    def _new_cell_location(self) -> CellLocation:
        return CellLocation(intercept_penalty=self.intercept_penalty, slope_penalty=self.slope_penalty)

    def _out_of_fold(self, runs: Runs, embedded: RowFeatures, z: Floats) -> tuple[Floats, Floats]:
        """Intercept and text effect of each training row, from fits that have not seen its query."""
        fractions = {str(fold): 1 / self.n_folds for fold in range(self.n_folds)}
        folds = assign_split(pd.Series(runs.groups), fractions=fractions, salt="fold").to_numpy()
        if isinstance(self.location_, CellLocation):
            codes, _ = pd.factorize(folds, sort=True)
            return out_of_fold(self._new_cell_location, runs.X, embedded, runs.weight, z, codes)
        base, text = np.empty(len(runs)), np.empty(len(runs))
        for fold in np.unique(folds):
            out = folds == fold
            rest = ~out if (~out).any() else out
            location = self._new_row_location().prepare(runs.X[rest], embedded[rest], runs.weight[rest])
            location.fit(z[rest])
            base[out] = location.intercept(runs.X[out])
            text[out] = location.text_effect(runs.X[out], embedded[out])
        return base, text

    def _sample_known(self, runs: Runs, rng: np.random.Generator) -> dict[int, Pairs]:
        if self.knowledge_.informed is None:
            return {}
        configs = cell_keys(runs.X, CONFIG)
        return {
            regime: sample_context(runs.groups, configs, rng, pilots=pilots)
            for regime, pilots in ((WARM, False), (PILOT, True))
        }

    def _judge_block(self, held: HeldOut) -> list[Judged]:
        X, embedded = held.runs.X, self._embed(held.runs.X)
        location = self.location_.intercept(X) + self.location_.text_effect(X, embedded)
        runs = replace(held.runs, log_tokens=self._completed(held.runs, location, held.draws))
        judged = [Judged(COLD, runs.narrow(), self._heads_given(X, embedded, None))]
        for regime, (target, source) in held.known.items():
            known = FlatContext(
                target,
                X.iloc[source].reset_index(drop=True),
                np.exp(runs.log_tokens[source]),
                np.zeros(len(source), dtype=bool),
                runs.details[source],
            )
            heads = self._heads_given(X, embedded, known)
            rows = np.flatnonzero(heads.regime == regime)
            if len(rows):
                judged.append(Judged(regime, runs.take(rows).narrow(), heads.select(rows)))
        return judged

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

    def adapt(self, X: pd.DataFrame, y: pd.Series, *, is_censored: pd.Series | None = None) -> Self:
        """A copy that knows a new model (or benchmark, or effort) from a few anchor runs, without training again.

        Parameters
        ----------
        X : DataFrame of shape (n_anchors, n_columns)
            The anchors, valid under `Requests`. With context columns (`context.attach_context`) far fewer are
            needed: runs of other models on the same queries say which anchors are hard.
        y : Series of shape (n_anchors,)
            Output tokens, index of `X`.
        is_censored : Series of bool of shape (n_anchors,), optional
            True where `y` is a lower bound.

        Returns
        -------
        ThinkingTokensPredictor
            What was known before is unchanged.

        Raises
        ------
        NotFittedError
            Before `fit`.
        InvalidInputError
            If `X` or `y` is not valid.
        """
        self._check_fitted()
        X = self._validate(X)
        tokens = self._aligned(y, X, "y").to_numpy(dtype=np.float64)
        if not np.isfinite(tokens).all():
            raise InvalidInputError("`y` must be finite")
        censored = np.zeros(len(X), dtype=bool)
        if is_censored is not None:
            censored = self._aligned(is_censored, X, "is_censored").to_numpy(dtype=bool)
        adapted = copy.copy(self)
        adapted.location_, adapted.shapes_ = copy.deepcopy(self.location_), copy.deepcopy(self.shapes_)
        adapted.knowledge_ = self.knowledge_.with_own_copula()
        embedded, known = self._embed(X), flatten_context(X)
        context = ContextRuns.none() if known is None else self._context_runs(X, embedded, known)
        parts = adapted.location_, adapted.shapes_, adapted.knowledge_.copula
        learn_anchors(*parts, X, embedded, np.log(np.maximum(tokens, 1.0)), censored, context)
        return adapted

    # -- forecasts -----------------------------------------------------------------------------------
    def _embed(self, X: pd.DataFrame) -> Floats:
        if "prompt_text" not in X:
            return np.zeros((len(X), self.embedding_.n_features))
        return self.embedding_.transform(X["prompt_text"].tolist())

    def _columns(self, X: pd.DataFrame, embedded: RowFeatures, base: Floats, text: Floats) -> Floats:
        """Columns of the heads: categories first, then what is numeric."""
        codes = []
        for name in CATEGORIES:
            position = {value: float(i) for i, value in enumerate(self.categories_[name])}
            values = X[name].astype(object) if name in X else pd.Series(None, index=X.index, dtype=object)
            codes.append(np.array([position.get(value, np.nan) for value in values], dtype=np.float64))
        plain = [*codes, base, text, *settings_matrix(X).T]
        leading = self.embedding_.leading(self.n_boosted_components)
        columns = np.empty((len(X), len(plain) + len(leading)))
        columns[:, : len(plain)] = np.column_stack(plain)
        for rows in row_slices(len(X)):
            columns[rows, len(plain) :] = embedded[rows][:, leading]
        return columns

    def _location(self, X: pd.DataFrame) -> Floats:
        return self.location_.intercept(X) + self.location_.text_effect(X, self._embed(X))

    @property
    def known_models(self) -> frozenset[str]:
        """Models that were trained on, and those that `adapt` has added."""
        self._check_fitted()
        return frozenset(config.split(SEPARATOR)[0] for config in self.knowledge_.copula.configs_)

    @property
    def known_configs(self) -> list[tuple[str, str]]:
        """Pairs of model and effort (empty where none was given) that runs were learnt from."""
        self._check_fitted()
        pairs = (config.split(SEPARATOR) for config in self.knowledge_.copula.configs_)
        return [(model, effort) for model, effort in pairs]

    @property
    def noise_factor(self) -> float:
        """Factor within which 90 % of the runs of one request lie around its typical run; learnt from repeats.

        Where nothing was repeated it rests on an assumption: noise is a quarter of the variance of a run.
        """
        self._check_fitted()
        spread = common_spread(self.shapes_) * float(np.sqrt(np.mean(self.knowledge_.copula.noise_)))
        return float(np.exp(1.645 * spread))

    def shared_deviation(self, X: pd.DataFrame) -> pd.Series:
        """Standard deviation, in log tokens, of the error that all requests of a cell share; for sums of many."""
        self._check_fitted()
        X = self._validate(X)
        return pd.Series(self.location_.shared_deviation(X), index=X.index, name="shared_deviation")

    def _heads(self, X: pd.DataFrame) -> Heads:
        return self._heads_given(X, self._embed(X), flatten_context(X))

    def _heads_given(self, X: pd.DataFrame, embedded: Floats, known: FlatContext | None) -> Heads:
        base, text = self.location_.intercept(X), self.location_.text_effect(X, embedded)
        codes, curves = self.shapes_.lookup(X)
        columns = self._columns(X, embedded, base, text)
        shape = evaluate_curves(curves, np.array(HEAD_LEVELS))[codes]
        values = (base + text)[:, None] + shape
        heads = Heads.cold(values, codes, curves)
        if known is not None:
            context = self._context_runs(X, embedded, known)
            heads = self.knowledge_.inform(X, heads, columns[:, :N_PLAIN], base + text, context, self._is_trained(X))
        cold = (heads.regime == COLD) & self._is_trained(X)
        if cold.any():
            heads.values[cold] += self._boosting().predict(self.cold_, columns[cold])
        return heads

    def _context_runs(self, X: pd.DataFrame, embedded: Floats, known: FlatContext) -> ContextRuns:
        location = self.location_.intercept(known.frame)
        location += self.location_.text_effect(known.frame, embedded[known.target])
        return self.knowledge_.context_runs(X, known, location, self.shapes_)

    def _is_trained(self, X: pd.DataFrame) -> NDArray[np.bool_]:
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
        from safetensors.numpy import load_file

        self.embedding_ = TextEmbedding.load(path / "embedding.safetensors", state["embedding"])
        self.location_ = PooledLocation.from_state(state["location"], load_file(path / "location.safetensors"))
        self.shapes_ = PooledQuantiles.from_state(state["shapes"], load_file(path / "shapes.safetensors"))
        self.cold_ = load_boosters(path, "cold", state["cold"])
        self.knowledge_ = QueryKnowledge.load(path, state, self._boosting())
        self.categories_ = state["categories"]
        self._load_calibration(state)
