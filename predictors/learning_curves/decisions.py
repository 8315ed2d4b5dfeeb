"""What to do with an unfinished run: how likely it ends above a target, what going on is worth, when to stop."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictors.errors import InvalidInputError
from predictors.learning_curves.forecaster import CurveForecaster
from predictors.learning_curves.pfn.predictor import PfnPredictor

__all__ = ["DECISION_COLUMNS", "advise"]

DECISION_COLUMNS: tuple[str, ...] = (
    "probability_above", "expected_gain", "remaining_share", "gain_per_budget", "stop",
)  # fmt: skip


def advise(
    predictor: CurveForecaster | PfnPredictor,
    X: pd.DataFrame,
    *,
    incumbent: float | pd.Series,
    least_probability: float = 0.05,
    margin: float = 0.0,
) -> pd.DataFrame:
    """Whether runs are worth going on with, against the best value there is already.

    Parameters
    ----------
    predictor : CurveForecaster or PfnPredictor
        Fitted.
    X : DataFrame of shape (n_samples, n_columns)
        Observed beginnings, valid under `CurveRequests`.
    incumbent : float or Series of shape (n_samples,)
        The target, or the best value so far, in the metric's unit.
    least_probability : float, optional
        A run is to be stopped when it is less likely than this to end better than the incumbent.
    margin : float, optional
        By how much it must be better to count, in the metric's unit.

    Returns
    -------
    DataFrame of shape (n_samples, 5)
        Index of `X`. ``probability_above`` (that the run ends better than incumbent and margin), ``expected_gain``
        (expected improvement over the incumbent, >= 0, in the metric's unit), ``remaining_share`` (of the budget),
        ``gain_per_budget`` (their ratio: the value of going on; inf where nothing remains), ``stop``.

    Raises
    ------
    InvalidInputError
        If `least_probability` is outside [0, 1), `margin` negative, or an incumbent not finite.
    """
    goal = np.broadcast_to(np.asarray(incumbent, dtype=np.float64), (len(X),))
    if not (0 <= least_probability < 1 and margin >= 0):
        raise InvalidInputError("`least_probability` must be in [0, 1) and `margin` >= 0")
    if not np.isfinite(goal).all():
        raise InvalidInputError("`incumbent` must be finite in every row")
    found = predictor.distribution(X)
    sign = np.where(found.rising, 1.0, -1.0)
    above = found.probability_above(goal + sign * margin).to_numpy()
    gain = found.expected_gain(goal)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(found.remaining > 0, gain / found.remaining, np.inf)
    columns = (above, gain, found.remaining, rate, (above < least_probability) & (found.remaining > 0))
    return pd.DataFrame(dict(zip(DECISION_COLUMNS, columns, strict=True)), index=X.index)
