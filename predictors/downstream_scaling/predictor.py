"""The downstream-scaling predictor: many laws, backtested on the ladder itself, combined, calibrated, or doubted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from predictors.base import BasePredictor
from predictors.downstream_scaling.abstention import doubts
from predictors.downstream_scaling.combination import (
    GATES,
    MEDIAN,
    PARTS,
    REGIMES,
    SCALE_LEVELS,
    Evidence,
    Spread,
    Stack,
    gather,
    group_weights,
    regimes,
    widening,
)
from predictors.downstream_scaling.ladder import Ladder, LadderRequests, read_ladders, with_something
from predictors.downstream_scaling.least_squares import Floats
from predictors.downstream_scaling.methods import CANDIDATES, METHODS
from predictors.errors import InvalidInputError

__all__ = ["DownstreamScalingPredictor"]

DEFAULT_PRIOR: dict[str, float] = {}
DEFAULT_COEFFICIENTS = (0.1, 1.5, 0.7, 0.7, 0.1, 0.7, 0.7)
SCALE_WITHOUT_LAW = 2.0
"""Least deviation on the logit scale where no law could be fitted."""
TAIL = 1.25
"""Heavier than normal by this factor, in the default quantiles."""


class DownstreamScalingPredictor(BasePredictor):
    """Forecasts the score (0-100 points) of a large model on a task from a ladder of small models.

    1. Every law in `candidates` is fitted to the ladder, in one batch for all ladders of equal length.
    2. The same laws are fitted to parts of the ladder, whose held-out larger models say how far each law is off here.
    3. Laws are averaged on a logit scale by weights that rest on past ladders, the reach, and step 2.
    4. The spread joins sampling of items, disagreement of laws, their errors in step 2, the reach, falls of the ladder
       and whether all models still guess; its coefficients and quantiles are learnt from past forecasts.

    `fit` learns weights, coefficients and quantiles from past ladders of which the outcome is known, such as the
    held-out larger models of other ladders. With few of them it stays near its defaults; `with_defaults` needs none.
    Forecasts that deserve doubt are made all the same, with wide intervals, and are marked in `extra_columns`.

    Parameters
    ----------
    candidates : tuple of str
        Names in `methods.METHODS`.
    trust : float
        Default weight of a ladder's own backtests.
    pull : float
        Rows' worth of evidence for the defaults.
    n_folds : int
        Folds, by group, of the out-of-fold errors that the spread is learnt from.
    """

    family: ClassVar[str] = "downstream_scaling"
    input_schema = LadderRequests

    def __init__(
        self, *, candidates: tuple[str, ...] = CANDIDATES, trust: float = 1.0, pull: float = 0.3, n_folds: int = 5
    ) -> None:
        self.candidates = candidates
        self.trust = trust
        self.pull = pull
        self.n_folds = n_folds

    @classmethod
    def with_defaults(cls, **params: Any) -> Self:
        """A predictor that is ready without any past forecast."""
        predictor = cls(**params)
        predictor._check_params()
        predictor.stack_, predictor.spread_ = predictor._start()
        predictor.n_samples_ = 0
        return predictor

    def _check_params(self) -> None:
        unknown = sorted(set(self.candidates) - set(METHODS))
        if unknown or not self.candidates:
            raise InvalidInputError(f"`candidates` must be some of {sorted(METHODS)}, got {list(self.candidates)}")
        if not self.trust > 0 or not self.pull > 0 or self.n_folds < 2:
            raise InvalidInputError("`trust` and `pull` must be positive and `n_folds` 2 or more")

    def _start(self) -> tuple[Stack, Spread]:
        prior = np.array([DEFAULT_PRIOR.get(name, 0.0) for name in self.candidates])
        stack = Stack(prior, np.zeros((len(GATES), len(prior))), self.trust)
        return stack, Spread(
            np.tile(DEFAULT_COEFFICIENTS, (REGIMES, 1)), np.tile(ndtri(SCALE_LEVELS) * TAIL, (REGIMES, 1))
        )

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self._check_params()
        score = y.to_numpy(dtype=np.float64)
        if ((score < 0) | (score > 100)).any():
            raise InvalidInputError(f"`y` must be scores in [0, 100] points, got {score.min()} to {score.max()}")
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: a score is no lower bound")
        ladders = [with_something(ladder) for ladder in read_ladders(X)]
        evidence = gather(ladders, self.candidates)
        codes = pd.factorize(groups)[0]
        weight = group_weights(codes)
        start, spread = self._start()
        folds = codes % self.n_folds
        location, parts = np.empty(len(score)), np.empty((len(score), len(PARTS)))
        for fold in np.unique(folds):
            out = folds == fold
            some = Stack.fit(evidence.take(~out), score[~out], weight[~out], start, self.pull)
            location[out], parts[out] = some.location(evidence.take(out))
        self.stack_ = Stack.fit(evidence, score, weight, start, self.pull)
        usable = np.isfinite(evidence.z).any(axis=1)
        errors = (evidence.to_scale(score) - location)[usable]
        about = parts[usable], errors, weight[usable], regimes(evidence)[usable]
        found = Spread.fit(*about, spread, self.pull)
        # Parts of one ladder share its smallest model.
        origin = pd.factorize(np.array([ladder.flops[0] for ladder in ladders]))[0]
        factor = widening(*about, origin[usable], spread, self.pull)
        middle = found.quantiles[:, [MEDIAN]]
        self.spread_ = Spread(found.coefficients, middle + factor * (found.quantiles - middle))

    # -- forecasts -----------------------------------------------------------------------------------
    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        evidence, location, scale = self._located(read_ladders(X))
        return evidence.to_points(location[:, None] + scale[:, None] * self.spread_.at(levels, regimes(evidence)))

    def _located(self, ladders: Sequence[Ladder]) -> tuple[Evidence, Floats, Floats]:
        evidence = gather([with_something(ladder) for ladder in ladders], self.candidates)
        location, parts = self.stack_.location(evidence)
        nothing = ~np.isfinite(evidence.z).any(axis=1)
        if nothing.any():  # one or two models: their last score, and a wide spread about it
            known = [ladder.scores[-1] if len(ladder) else (ladder.chance + ladder.upper) / 2 for ladder in ladders]
            location = np.where(nothing, evidence.to_scale(np.array(known)), location)
        scale = self.spread_.scale(parts, regimes(evidence))
        return evidence, location, np.where(nothing, np.maximum(scale, SCALE_WITHOUT_LAW), scale)

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        """What stands behind each forecast.

        Returns
        -------
        DataFrame
            ``method`` (the law with the most weight), ``method_weight``, ``abstain`` (whether the forecast should not
            be relied upon), ``reason`` (why, empty where it may be), ``is_monotone``, ``reach`` (log target compute
            above the ladder over its span), ``backtest_error`` (of the weighted mean on own backtests, logit scale) and
            ``predictable_ratio`` (share of items in clusters that scale; NaN without `item_pass_rates`).
        """
        self._check_fitted()
        X = self._validate(X)
        ladders = read_ladders(X)
        evidence = gather([with_something(ladder) for ladder in ladders], self.candidates)
        weights = self.stack_.weights(evidence)
        parts = self.stack_.location(evidence)[1]
        best = weights.argmax(axis=1)
        found = [doubts(ladder) for ladder in ladders]
        quantiles = self.predict_quantiles(X, (0.05, 0.95))
        width = (quantiles[0.95] - quantiles[0.05]).to_numpy()
        reasons = [
            list(f.reasons) + ([_too_wide(w)] if w > MAX_WIDTH else []) for f, w in zip(found, width, strict=True)
        ]
        return pd.DataFrame(
            {
                "method": [self.candidates[i] if weights[k].any() else "last" for k, i in enumerate(best)],
                "method_weight": weights.max(axis=1),
                "abstain": [bool(r) for r in reasons],
                "reason": ["; ".join(r) for r in reasons],
                "is_monotone": [f.is_monotone for f in found],
                "reach": evidence.gates[:, GATES.index("reach")],
                "backtest_error": parts[:, PARTS.index("backtest")],
                "predictable_ratio": [f.predictable_ratio for f in found],
            },
            index=X.index,
        )

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        return {
            "prior": self.stack_.prior.tolist(), "by_gate": self.stack_.by_gate.tolist(), "trust": self.stack_.trust,
            "coefficients": self.spread_.coefficients.tolist(), "quantiles": self.spread_.quantiles.tolist(),
        }  # fmt: skip

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.stack_ = Stack(np.array(state["prior"]), np.array(state["by_gate"]), state["trust"])
        self.spread_ = Spread(np.array(state["coefficients"]), np.array(state["quantiles"]))


MAX_WIDTH = 60.0
"""Width of the 90 % interval in points above which a forecast says next to nothing."""


def _too_wide(width: float) -> str:
    return f"the 90 % interval is {width:.0f} points wide: the laws and the ladder's own backtests disagree"
