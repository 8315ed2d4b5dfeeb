"""What to do with an unfinished run: how likely it ends better than a target, what going on is worth, when to stop."""

import numpy as np
import pandas as pd

from ..arrays import Floats
from ..errors import InvalidInputError
from ..schemas.learning_curves import CurveRequests, as_points
from .curves import read_curves
from .forecaster import CurveForecaster

N_STEPS = 24
"""Steps between the last observed one and the end at which a forecast is read."""
MOST_PREFIXES = 12
"""Beginnings of a curve whose forecasts are compared: all where it has no more points, else evenly spaced ones."""
LEAST_AGREEING = 3
"""Forecasts in a row that must agree: one or two may do so by chance."""
PROXIMITY = 0.005
"""Share of the metric's range within which forecasts agree."""
REACH_COLUMNS: tuple[str, ...] = ("reach_step_05", "reach_step_50", "reach_step_95", "probability_reached")


def advise(
    predictor: CurveForecaster,
    X: pd.DataFrame,
    *,
    incumbent: float | pd.Series,
    least_probability: float = 0.05,
    margin: float = 0.0,
) -> pd.DataFrame:
    """Whether runs are worth going on with, against the best value there is already.

    `incumbent` is the target or the best value so far, one or one a row, and `margin` by how much a run must be better
    to count, both in the metric's unit. A run is to be stopped when it is less likely than `least_probability` to end
    better.

    Returns
    -------
    DataFrame of shape (n_samples, 5)
        Index of `X`. ``probability_better`` (that the run ends better than incumbent and margin), ``expected_gain``
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
    forecast = predictor.distribution(X)
    sign = np.where(forecast.rising, 1.0, -1.0)  # forecasts of versions of before have no other word for it
    better = forecast.probability_better(goal + sign * margin).to_numpy()
    gain = forecast.expected_gain(goal)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(forecast.remaining > 0, gain / forecast.remaining, np.inf)
    columns = {
        "probability_better": better, "expected_gain": gain, "remaining_share": forecast.remaining,
        "gain_per_budget": rate, "stop": (better < least_probability) & (forecast.remaining > 0),
    }  # fmt: skip
    return pd.DataFrame(columns, index=X.index)


def steps_to_target(predictor: CurveForecaster, X: pd.DataFrame, target: float | pd.Series) -> pd.DataFrame:
    """At which step each run gets as good as `target`, if it does.

    The forecast is read at `N_STEPS` steps up to `target_step`; that a run has been good enough by a step is at least
    as likely as that it is so at that step or was at an earlier one. What would come after `target_step` is not asked.

    `target` is in the metric's unit, one or one a row.

    Returns
    -------
    DataFrame of shape (n_samples, 4)
        Index of `X`. ``reach_step_05``, ``reach_step_50``, ``reach_step_95``: the step by which the target is reached
        with that probability, infinite where it may never be (censored at `target_step`); ``probability_reached`` (by
        `target_step`). A target that the observed points reach has the step of the first that does, and probability 1.
    """
    goal = np.broadcast_to(np.asarray(target, dtype=np.float64), (len(X),))
    last = np.array([as_points(steps)[-1] for steps in X["steps"]])
    end = X["target_step"].to_numpy(dtype=np.float64)
    share = np.linspace(0.0, 1.0, N_STEPS) ** 2
    steps = last[:, None] + share * (end - last)[:, None]
    asked = X.iloc[np.repeat(np.arange(len(X)), N_STEPS)].assign(target_step=steps.ravel()).reset_index(drop=True)
    forecast = predictor.distribution(asked)
    likely = forecast.probability_better(np.repeat(goal, N_STEPS)).to_numpy().reshape(-1, N_STEPS)
    # The last observed point, at the first of them, is known not to be good enough.
    likely = np.maximum.accumulate(np.where(np.arange(N_STEPS) > 0, likely, 0.0), axis=1)
    sign = np.where(forecast.rising, 1.0, -1.0)[::N_STEPS]
    reached = likely[:, None] >= np.array([0.05, 0.5, 0.95])[:, None]
    when = np.where(reached.any(axis=2), np.take_along_axis(steps, reached.argmax(axis=2), axis=1), np.inf)
    out = np.column_stack([when, likely[:, -1]])
    for i, values in enumerate(X["values"]):
        good = np.flatnonzero(sign[i] * as_points(values) >= sign[i] * goal[i])
        if good.size:
            out[i] = [as_points(X["steps"].iloc[i])[good[0]]] * 3 + [1.0]
    return pd.DataFrame(out, columns=list(REACH_COLUMNS), index=X.index)


def settled_steps(predictor: CurveForecaster, X: pd.DataFrame, floor: pd.Series) -> pd.Series:
    """Where each run could have stopped: from which step on the forecasts of its end have stayed close to each other.

    `predictor` forecasts the end of every curve from each of its beginnings (`MOST_PREFIXES` at most). Medians are
    close if they lie within `PROXIMITY` of each other, or within the noise `floor` of one point (n_samples,) if that
    is more; it is in the metric's unit, NaN where it is not known. How wide the forecasts are is not asked.

    Returns
    -------
    Series of shape (n_samples,)
        Index of `X`: the first of the steps from which on `LEAST_AGREEING` forecasts or more, and all of them, are
        close; NaN where the newest ones are not.
    """
    rows = CurveRequests.validate(X)
    sizes = []
    for values in rows["values"]:
        finite = np.flatnonzero(np.isfinite(as_points(values))) + 1
        sizes.append(finite[np.unique(np.linspace(0, len(finite) - 1, MOST_PREFIXES).round().astype(int))])
    counts = [len(part) for part in sizes]
    asked = rows.iloc[np.repeat(np.arange(len(rows)), counts)].reset_index(drop=True)
    for name in {"steps", "values", "standard_errors"} & set(asked):
        begun = zip(asked[name], np.concatenate(sizes), strict=True)
        asked[name] = pd.Series([as_points(points)[:k].tolist() for points, k in begun], dtype=object)
    medians = np.split(predictor.predict(asked).to_numpy(), np.cumsum(counts)[:-1])
    within = np.fmax(floor.to_numpy(dtype=np.float64), PROXIMITY * read_curves(rows).scale.span)
    out = np.full(len(rows), np.nan)
    for i, (steps, made) in enumerate(zip(rows["steps"], medians, strict=True)):
        newest_first = made[::-1]
        spread = np.maximum.accumulate(newest_first) - np.minimum.accumulate(newest_first)
        agreeing = int((spread <= within[i]).sum())
        if agreeing >= LEAST_AGREEING:
            out[i] = as_points(steps)[sizes[i][-agreeing] - 1]
    return pd.Series(out, index=X.index)


def jitter_floor(steps: Floats, values: Floats) -> float:
    """Mean absolute error that the jitter of a curve makes unavoidable for one later point of it.

    The jitter is what the last half of the curve leaves around a straight line in ``log(1 + step)``.

    Points (n_points,) whose value is not finite are left out. In the unit of `values`; NaN for fewer than six points.
    """
    finite = np.isfinite(values)
    x, y = np.log1p(steps[finite]), values[finite]
    half = len(x) // 2
    if len(x) < 6:
        return float("nan")
    x, y = x[half:], y[half:]
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt((residual**2).sum() / max(len(x) - 2, 1)) * np.sqrt(2 / np.pi))
