"""The predictor of success: rates of model and benchmark, what the text says, and how hard an item was for others."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logsumexp
from scipy.special import logit as logit_of

from ..arrays import Codes, Floats, load_arrays, names_of, save_arrays
from ..fitting.text.features import TextEmbedding
from ..splits import assign_split
from .chances import ChancePredictor, check_outcomes

Line = tuple[float, float, float]
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_LOG_WEIGHTS = np.log(_WEIGHTS / _WEIGHTS.sum())
SPREADS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Standard deviations of an item's effect that are tried, in logits."""
LOGISTIC = (16 * np.sqrt(3) / (15 * np.pi)) ** 2
"""A logit with a normal effect of variance v is, on average, one that is ``sqrt(1 + LOGISTIC v)`` times smaller."""
SHARED, OF_MODEL = (0.01, 0.3, 3.0), (0.3, 1.0, 15.0)
"""Penalties of intercept, benchmark and text: of what all models share, and of what a model adds to it."""


@dataclass(kw_only=True, eq=False, repr=False)
class SuccessPredictor(ChancePredictor):
    """Forecasts the chance that a model's answer to a request is right.

    A logistic regression on benchmark and text that all models share, and the deviation of every model from it, drawn
    towards zero; so a model with twenty scored requests (`adapt`) has its own level and the text of all others. Known
    outcomes of other models on the same item (`context_models`, `context_scores`) say how hard it is: an item has a
    normal effect on the logit, whose spread is learnt per benchmark (Rasch 1960). What was not seen, a model or a
    benchmark, is averaged over, so that its chances are less sure.

    Parameters
    ----------
    n_components : int
        Dimensions of each part of the text embedding.
    penalty : float
        Factor on all penalties.
    calibration_share : float
        Share of the queries held out to calibrate; the fit is then made again from all.
    random_state : int, optional
        Seed of the embedding.
    """

    n_components: int = 80
    penalty: float = 1.0
    calibration_share: float = 0.2
    random_state: int | None = 0

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        right = check_outcomes(y)
        texts = sorted(set(X["prompt_text"].dropna())) if "prompt_text" in X else []
        self.embedding_ = TextEmbedding(n_components=self.n_components, random_state=self.random_state).fit(texts)
        self.models_ = sorted(set(X["model"]))
        self.benchmarks_ = sorted(set(names_of(X, "benchmark")))
        Z, models = self._features(X), self._model_codes(X["model"])
        shares = {"fit": 1 - self.calibration_share, "calibration": self.calibration_share}
        held_out = assign_split(groups.astype(str), fractions=shares, salt="success").eq("calibration").to_numpy()
        items, names = groups.to_numpy(dtype=object), names_of(X, "benchmark")
        self.cold_: Line = (1.0, 0.0, 0.0)
        self.warm_: Line = (1.0, 0.0, 0.0)
        if 0 < right[held_out].sum() < held_out.sum() and not held_out.all():
            self._learn(Z[~held_out], models[~held_out], right[~held_out])
            self.cold_ = _line(self._logit(Z[held_out], models[held_out]), right[held_out])
            logit = _on_line(self._logit(Z, models), self.cold_)
            self.spreads_ = self._item_spreads(logit[~held_out], right[~held_out], items[~held_out], names[~held_out])
            spread = np.array([self.spreads_.get(name, self.spreads_[""]) for name in names[held_out]])
            self.warm_ = _line(_given_the_others(logit[held_out], right[held_out], items[held_out], spread),
                               right[held_out])  # fmt: skip
        self._learn(Z, models, right)
        self.spreads_ = self._item_spreads(_on_line(self._logit(Z, models), self.cold_), right, items, names)
        self.model_spread_ = float(self.blocks_[:, 0].std()) if len(self.models_) > 2 else 1.0
        self.benchmark_spread_ = float(self.shared_[1 : 1 + len(self.benchmarks_)].std()) or 1.0

    def _penalties(self, of: tuple[float, float, float]) -> Floats:
        n_text = self.embedding_.n_features
        return np.asarray(self.penalty * np.r_[of[0], np.full(len(self.benchmarks_), of[1]), np.full(n_text, of[2])])

    def _learn(self, Z: Floats, models: Codes, right: Floats) -> None:
        """Alternate between what is shared and what each model adds."""
        self.shared_ = np.zeros(Z.shape[1])
        self.blocks_ = np.zeros((len(self.models_), Z.shape[1]))
        penalties = self._penalties(OF_MODEL)
        for _ in range(3):
            added = np.einsum("ij,ij->i", Z, self.blocks_[models])
            self.shared_ = penalised_logistic(Z, right, added, self._penalties(SHARED))
            common = Z @ self.shared_
            for model in range(len(self.models_)):
                rows = models == model
                if rows.any():
                    self.blocks_[model] = penalised_logistic(Z[rows], right[rows], common[rows], penalties)

    def _item_spreads(
        self, logit: Floats, right: Floats, items: NDArray[np.object_], benchmarks: NDArray[np.object_]
    ) -> dict[str, float]:
        """Spread of the items' effects with the greatest marginal likelihood, over all and by benchmark."""
        spreads = {}
        for name in dict.fromkeys(["", *self.benchmarks_]):
            rows = benchmarks == name if name else np.ones(len(right), dtype=bool)
            if rows.any():
                given = (_log_likelihood(logit[rows], right[rows], spread) for spread in SPREADS)
                of_items = [_of_items(each, pd.factorize(items[rows])[0]) + _LOG_WEIGHTS for each in given]
                marginal = [logsumexp(each, axis=1).sum() for each in of_items]
                spreads[name] = float(SPREADS[int(np.argmax(marginal))])
        return spreads

    def adapt(self, X: pd.DataFrame, y: pd.Series) -> Self:
        """A copy that has learnt from scored anchors of a model, new or known, without training again.

        Parameters
        ----------
        X : DataFrame of shape (n_anchors, n_columns)
            The anchors, valid under `Requests`; outcomes of other models on them (context) say which are hard.
        y : Series of shape (n_anchors,)
            1 where the answer was right, 0 where not; index of `X`.

        Returns
        -------
        SuccessPredictor
            The predictor itself is unchanged.
        """
        self._check_fitted()
        X = self._validate(X)
        right = check_outcomes(self._aligned(y, X, "y"))
        adapted = copy.copy(self)
        new = sorted(set(X["model"]) - set(self.models_))
        adapted.models_ = [*self.models_, *new]
        adapted.blocks_ = np.vstack([self.blocks_, np.zeros((len(new), self.blocks_.shape[1]))])
        Z, models = adapted._features(X), adapted._model_codes(X["model"])
        spread, log_posterior = adapted._items(X, Z)
        # Given the item, a logit counts as much more as its effect has a spread.
        known = spread * (np.exp(log_posterior) @ _NODES) / np.sqrt(1 + LOGISTIC * spread**2)
        offset = adapted._logit(Z, models) + known
        penalties = self._penalties((1 / max(self.model_spread_, 0.3) ** 2, *OF_MODEL[1:]))
        for model in set(models):
            rows = models == model
            adapted.blocks_[model] += penalised_logistic(Z[rows], right[rows], offset[rows], penalties)
        return adapted

    # -- forecasts -----------------------------------------------------------------------------------
    def _chance(self, X: pd.DataFrame) -> Floats:
        Z, models = self._features(X), self._model_codes(X["model"])
        logit = _on_line(self._logit(Z, models), self.cold_)
        is_new = ~np.isin(names_of(X, "benchmark"), self.benchmarks_)
        unsure = np.where(models < 0, self.model_spread_**2, 0.0) + np.where(is_new, self.benchmark_spread_**2, 0.0)
        logit = logit / np.sqrt(1 + LOGISTIC * unsure)
        spread, log_posterior = self._items(X, Z)
        chance = np.einsum("ij,ij->i", np.exp(log_posterior), expit(_at_nodes(logit, spread)))
        is_cold = np.abs(log_posterior - _LOG_WEIGHTS).max(axis=1) < 1e-12
        warm = expit(_on_line(logit_of(np.clip(chance, 1e-9, 1 - 1e-9)), self.warm_))
        return np.asarray(np.where(is_cold, expit(logit), warm))

    def _items(self, X: pd.DataFrame, Z: Floats) -> tuple[Floats, Floats]:
        """Spread of each item's effect, and its log posterior at the nodes given known outcomes of other models."""
        spread = np.array([self.spreads_.get(name, self.spreads_[""]) for name in names_of(X, "benchmark")])
        log_posterior = np.tile(_LOG_WEIGHTS, (len(X), 1))
        if "context_scores" in X and "context_models" in X:
            for row, (others, scores) in enumerate(zip(X["context_models"], X["context_scores"], strict=True)):
                pairs = zip(_listed(others), _listed(scores), strict=False)
                known = [(m, s) for m, s in pairs if s is not None and s == s]
                if known:
                    models = self._model_codes([m for m, _ in known])
                    logit = _on_line(self._logit(np.repeat(Z[[row]], len(known), axis=0), models), self.cold_)
                    passed = np.array([s >= 1 for _, s in known], dtype=np.float64)
                    log_posterior[row] += _log_likelihood(logit, passed, float(spread[row])).sum(axis=0)
        return spread, log_posterior - logsumexp(log_posterior, axis=1, keepdims=True)

    def _features(self, X: pd.DataFrame) -> Floats:
        """Intercept, benchmark and text, shape (n_requests, n_features)."""
        texts = X["prompt_text"] if "prompt_text" in X else pd.Series(None, index=X.index, dtype=object)
        embedded = self.embedding_.transform(texts.astype(object).where(texts.notna(), None).tolist())
        of_benchmark = names_of(X, "benchmark")[:, None] == np.array(self.benchmarks_, dtype=object)
        return np.hstack([np.ones((len(X), 1)), of_benchmark.astype(np.float64), embedded])

    def _model_codes(self, models: Any) -> Codes:
        """Row of `blocks_`, -1 for a model that was not seen."""
        return np.asarray(pd.Index(self.models_).get_indexer(pd.Index(models, dtype=object)), dtype=np.intp)

    def _logit(self, Z: Floats, models: Codes) -> Floats:
        blocks = np.vstack([self.blocks_, np.zeros((1, Z.shape[1]))])
        return np.asarray(Z @ self.shared_ + np.einsum("ij,ij->i", Z, blocks[models]))

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        save_arrays(path / "weights.safetensors", {"shared": self.shared_, "blocks": self.blocks_})
        return {
            "embedding": self.embedding_.save(path / "embedding.safetensors"), "models": self.models_,
            "benchmarks": self.benchmarks_, "spreads": self.spreads_, "cold": self.cold_, "warm": self.warm_,
            "model_spread": self.model_spread_, "benchmark_spread": self.benchmark_spread_,
        }  # fmt: skip

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        weights = load_arrays(path / "weights.safetensors")
        self.shared_, self.blocks_ = weights["shared"], weights["blocks"]
        self.embedding_ = TextEmbedding.load(path / "embedding.safetensors", state["embedding"])
        self.models_, self.benchmarks_, self.spreads_ = state["models"], state["benchmarks"], state["spreads"]
        self.cold_, self.warm_ = (tuple(state[name]) for name in ("cold", "warm"))
        self.model_spread_, self.benchmark_spread_ = state["model_spread"], state["benchmark_spread"]


def penalised_logistic(Z: Floats, right: Floats, offset: Floats, penalty: Floats, *, n_steps: int = 8) -> Floats:
    """Penalised logistic regression with a known offset, by damped Newton steps; shape (n_features,)."""
    weights = np.zeros(Z.shape[1])
    for _ in range(n_steps):
        chance = expit(Z @ weights + offset)
        gradient = Z.T @ (right - chance) - penalty * weights
        variance = np.maximum(chance * (1 - chance), 1e-3)
        step = np.linalg.solve((Z * variance[:, None]).T @ Z + np.diag(penalty), gradient)
        weights = weights + step * min(1.0, 5.0 / max(float(np.abs(Z @ step).max(initial=0.0)), 1e-9))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _at_nodes(logit: Floats, spread: Floats | float) -> Floats:
    """Logits given the item's effect at each node, shape (n_runs, n_nodes); `spread` is one, or one per run."""
    spread = np.broadcast_to(spread, logit.shape)[:, None]
    return np.asarray(logit[:, None] * np.sqrt(1 + LOGISTIC * spread**2) + spread * _NODES)


def _log_likelihood(logit: Floats, right: Floats, spread: Floats | float) -> Floats:
    """Log probability of outcomes given the item's effect at each node, shape (n_runs, n_nodes)."""
    given = _at_nodes(logit, spread)
    return np.asarray(log_expit(np.where(right[:, None] == 1, given, -given)))


def _of_items(log_likelihood: Floats, items: Codes) -> Floats:
    """Sums over the runs of each item, shape (n_items, n_nodes)."""
    sums = np.zeros((int(items.max()) + 1, len(_NODES)))
    np.add.at(sums, items, log_likelihood)
    return sums


def _given_the_others(logit: Floats, right: Floats, items: NDArray[np.object_], spread: Floats) -> Floats:
    """Logit of every run given the outcomes of the other runs of its item."""
    own, codes = _log_likelihood(logit, right, spread), pd.factorize(items)[0]
    others = _of_items(own, codes)[codes] - own + _LOG_WEIGHTS
    others -= logsumexp(others, axis=1, keepdims=True)
    chance = (np.exp(others) * expit(_at_nodes(logit, spread))).sum(axis=1)
    return np.asarray(logit_of(np.clip(chance, 1e-9, 1 - 1e-9)))


def _line(logit: Floats, right: Floats) -> Line:
    """Slope, offset and bend that calibrate logits, drawn towards no change: few outcomes should not move them.

    The bend makes the middle steeper than the ends: a model that knows an answer slips now and then.
    """
    terms = np.column_stack([logit, np.ones(len(logit)), np.tanh(logit)])
    slope, offset, bend = penalised_logistic(terms, right, logit, np.array([5.0, 5.0, 20.0])).tolist()
    return 1 + slope, offset, bend


def _on_line(logit: Floats, line: Line) -> Floats:
    return line[0] * logit + line[1] + line[2] * np.tanh(logit)


def _listed(value: Any) -> list[Any]:
    return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else []
