"""The downstream-scaling predictor: laws, backtested on the ladder itself, combined, calibrated, or doubted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ..arrays import Codes, Floats
from ..base import BasePredictor
from ..errors import InvalidInputError
from .abstention import MOST_ERROR, doubts, is_monotone
from .combination import PARTS, SCALE_LEVELS, Evidence, Spread, gather
from .items.cod import report_cod
from .ladder import Ladder, LadderRequests, read_ladders, with_something
from .laws.methods import CANDIDATES, COD, METHODS

DEFAULT_SPREAD = Spread(np.array([0.1, 1.5, 0.7, 0.5, 0.03, 0.3, 0.2]), np.tile(0.9 * stdtrit(3, SCALE_LEVELS), (2, 1)))
"""Its quantiles are those of Student's distribution with 3 degrees of freedom."""
LEAST_GROUPS = 5
"""Groups from which on the spread is learnt."""
ERROR_LEVELS = np.linspace(0.025, 0.975, 20)


class DownstreamScalingPredictor(BasePredictor):
    """Forecasts the score (0-100 points) of a large model on a task from a ladder of small models.

    1. Every law in `candidates` is fitted to the ladder, in one batch for all ladders of equal length.
    2. The same laws are fitted to parts of the ladder, whose held-out larger models say how far each law is off here.
    3. Laws are averaged on a logit scale, by equal weights that step 2 changes.
    4. The spread joins sampling of items, disagreement of laws, their errors in step 2, the reach, falls of the ladder
       and how few sizes it has; its coefficients and quantiles are learnt from past forecasts.

    `fit` learns the spread from past ladders of which the outcome is known. Its `groups` are families of models: each
    counts once. With fewer than `LEAST_GROUPS` families the default spread stays.

    Parameters
    ----------
    candidates : tuple of str
        Names in `methods.METHODS`, and `methods.COD`.
    """

    family: ClassVar[str] = "downstream_scaling"
    input_schema = LadderRequests

    def __init__(self, *, candidates: tuple[str, ...] = CANDIDATES) -> None:
        self.candidates = candidates

    @classmethod
    def with_defaults(cls, **params: Any) -> Self:
        """A predictor that is ready without any past forecast."""
        predictor = cls(**params)
        predictor._check_params()
        predictor.spread_ = DEFAULT_SPREAD
        predictor.n_samples_ = 0
        return predictor

    def _check_params(self) -> None:
        names = {*METHODS, COD}
        unknown = sorted(set(self.candidates) - names)
        if unknown or not set(self.candidates) - {COD}:
            raise InvalidInputError(f"`candidates` must be some of {sorted(names)}, got {list(self.candidates)}")

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self._check_params()
        score = y.to_numpy(dtype=np.float64)
        if ((score < 0) | (score > 100)).any():
            raise InvalidInputError(f"`y` must be scores in [0, 100] points, got {score.min()} to {score.max()}")
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: a score is no lower bound")
        self._learn(self._gather(read_ladders(X)), score, pd.factorize(groups)[0])

    def _learn(self, evidence: Evidence, score: Floats, codes: Codes) -> None:
        self.spread_ = DEFAULT_SPREAD
        if codes.max() + 1 >= LEAST_GROUPS:
            errors = evidence.to_scale(score) - evidence.location
            self.spread_ = Spread.fit(evidence.parts, errors, codes, evidence.is_low, DEFAULT_SPREAD)

    # -- forecasts -----------------------------------------------------------------------------------
    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        return self._quantiles(self._gather(read_ladders(X)), levels)

    def _gather(self, ladders: Sequence[Ladder]) -> Evidence:
        return gather([with_something(ladder) for ladder in ladders], self.candidates)

    def _quantiles(self, evidence: Evidence, levels: Floats) -> Floats:
        ahead = self.spread_.scale(evidence.parts)[:, None] * self.spread_.at(levels, evidence.is_low)
        return evidence.to_points(evidence.location[:, None] + ahead)

    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        """``benchmark`` where a model was measured (the target itself never is); how much was, how far it is below."""
        ladders = read_ladders(X)
        return ["benchmark" if len(ladder) else "neither" for ladder in ladders], [_basis(each) for each in ladders]

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        """What stands behind each forecast.

        Returns
        -------
        DataFrame
            ``method`` (the law with the most weight), ``method_weight``, ``cod_weight`` (of clustering on difficulty, 0
            where it does not answer), ``expected_error`` (mean absolute error to be expected, points), ``abstain``
            (whether it is `MOST_ERROR` points or more: not to be relied upon), ``reason`` (what of the ladder makes it
            uncertain, also where it does not abstain), ``is_monotone`` (judged at no less size and data), ``reach``
            (log target compute above the ladder over its span), ``backtest_error`` (of the weighted mean on own
            backtests, logit scale) and ``predictable_ratio`` (share of items in clusters that scale; NaN without
            `item_pass_rates`).
        """
        self._check_fitted()
        X = self._validate(X)
        ladders = read_ladders(X)
        evidence = self._gather(ladders)
        weights = evidence.weights
        quantiles = self._quantiles(evidence, np.r_[0.5, ERROR_LEVELS])
        error = np.abs(quantiles[:, 1:] - quantiles[:, :1]).mean(axis=1)
        abstain = error >= MOST_ERROR
        reasons = ["; ".join(doubts(ladder)) for ladder in ladders]
        return pd.DataFrame(
            {
                "method": [self.candidates[i] for i in weights.argmax(axis=1)],
                "method_weight": weights.max(axis=1),
                "cod_weight": weights[:, self.candidates.index(COD)] if COD in self.candidates else 0.0,
                "expected_error": error,
                "abstain": abstain,
                "reason": [
                    r or (_DISAGREE.format(e) if a else "") for r, e, a in zip(reasons, error, abstain, strict=True)
                ],
                "is_monotone": [is_monotone(ladder) for ladder in ladders],
                "reach": [_reach(ladder) for ladder in ladders],
                "backtest_error": evidence.parts[:, PARTS.index("backtest")],
                "predictable_ratio": [report_cod(ladder).predictable_ratio for ladder in ladders],
            },
            index=X.index,
        )

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        return {"coefficients": self.spread_.coefficients.tolist(), "quantiles": self.spread_.quantiles.tolist()}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.spread_ = Spread(np.array(state["coefficients"]), np.array(state["quantiles"]))


_DISAGREE = "an error of {:.0f} points is to be expected: the laws and the ladder's own backtests disagree"


def _reach(ladder: Ladder) -> float:
    if not len(ladder):
        return float("nan")
    return float(np.log(ladder.target_flops / ladder.flops[-1]) / max(np.log(ladder.flops[-1] / ladder.flops[0]), 0.7))


def _basis(ladder: Ladder) -> str:
    if not len(ladder):
        return "no measured model: anything from chance to the highest score"
    times, n = ladder.target_flops / ladder.flops[-1], len(ladder)
    measured = f"{n} measured {'model' if n == 1 else 'models'} of {len(ladder.levels)} sizes by compute"
    return f"{measured}; the target takes {times:.3g} times the compute of the largest"
