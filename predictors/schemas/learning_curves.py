"""The contract of learning curves: one observed beginning per forecast."""

from collections.abc import Callable, Iterable
from operator import eq
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from ..arrays import numbers_of
from .contracts import Asked

SIBLING_COLUMNS: tuple[str, ...] = ("sibling_learners", "sibling_steps", "sibling_values")
"""List columns of `CurveRequests` that hold other learners' curves on the same data set."""


class CurveRequests(Asked):
    """One row per forecast: the observed beginning of a curve, and the budget that is asked about.

    `steps` and `values` are lists of equal length in the order of the budget; `standard_errors`, where known, are
    those of the values. Bounds are those of the metric (0 and 1 where absent and all values lie there; -inf and inf
    mean unbounded). `dataset` and `learner` are names; a learner that training did not see counts as unknown.

    Siblings, other learners on the same data set, stand in list columns with one element per sibling, empty or null
    where there are none: `sibling_learners`, and lists of `sibling_steps` and `sibling_values` as far as known.
    """

    steps: Series[object] = pa.Field(nullable=False)
    values: Series[object] = pa.Field(nullable=False)
    target_step: Series[float] = pa.Field(gt=0)
    standard_errors: Series[object] | None = pa.Field(nullable=True)
    dataset: Series[str] | None = pa.Field(nullable=True)
    learner: Series[str] | None = pa.Field(nullable=True)
    metric: Series[str] | None = pa.Field(nullable=True)
    resource_unit: Series[str] | None = pa.Field(nullable=True)
    lower_bound: Series[float] | None = pa.Field(nullable=True)
    upper_bound: Series[float] | None = pa.Field(nullable=True)
    higher_is_better: Series[pd.BooleanDtype] | None = pa.Field(nullable=True)
    n_items: Series[float] | None = pa.Field(nullable=True, gt=0)
    sibling_learners: Series[object] | None = pa.Field(nullable=True)
    sibling_steps: Series[object] | None = pa.Field(nullable=True)
    sibling_values: Series[object] | None = pa.Field(nullable=True)

    @pa.dataframe_check(error="steps and values must be lists of equal length with one point or more")
    def points_are_lists(cls, df: pd.DataFrame) -> pd.Series:
        return _by_row(lambda steps, values: _size(steps) == _size(values) > 0, df["steps"], df["values"])

    @pa.dataframe_check(error="steps must be finite, not negative and increasing: sort them, keep one value a step")
    def steps_increase(cls, df: pd.DataFrame) -> pd.Series:
        return _by_row(_increases, df["steps"])

    @pa.dataframe_check(error="values must be numbers, at least one of them finite (NaN marks a diverged point)")
    def values_are_numbers(cls, df: pd.DataFrame) -> pd.Series:
        return _by_row(lambda values: np.isfinite(as_points(values)).any(), df["values"])

    @pa.dataframe_check(error="target_step must be finite and not before the last observed step")
    def target_is_ahead(cls, df: pd.DataFrame) -> pd.Series:
        ends = [float(np.max(as_points(s), initial=0.0)) for s in df["steps"]]
        return (df["target_step"] >= pd.Series(ends, index=df.index)) & (df["target_step"] < float("inf"))

    @pa.dataframe_check(error="values must lie within lower_bound and upper_bound, and lower_bound below upper_bound")
    def values_in_bounds(cls, df: pd.DataFrame) -> pd.Series:
        return _by_row(_inside, df["values"], numbers_of(df, "lower_bound"), numbers_of(df, "upper_bound"))

    @pa.dataframe_check(error="standard_errors must be as many as steps and not negative")
    def errors_agree(cls, df: pd.DataFrame) -> bool | pd.Series:
        if "standard_errors" not in df:
            return True
        return _by_row(_are_errors, df["steps"], df["standard_errors"])

    @pa.dataframe_check(error="sibling columns must come together, as lists of equal length")
    def siblings_agree(cls, df: pd.DataFrame) -> bool | pd.Series:
        there = [name for name in SIBLING_COLUMNS if name in df]
        if len(there) < len(SIBLING_COLUMNS):
            return not there
        return _by_row(_are_siblings, *(df[name] for name in SIBLING_COLUMNS))


def as_points(values: Any) -> np.ndarray:
    """A list column's element as floats; empty where it is null, NaN where an element is no number."""
    if not _size(values):
        return np.empty(0)
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return pd.to_numeric(pd.Series(list(values), dtype=object), errors="coerce").to_numpy(np.float64)


def _by_row(rule: Callable[..., Any], first: pd.Series, *others: Iterable[Any]) -> pd.Series:
    """Whether each row's values of the columns keep a rule."""
    kept = [bool(rule(*values)) for values in zip(first, *others, strict=True)]
    return pd.Series(kept, index=first.index, dtype=bool)


def _are_errors(steps: object, errors: object) -> bool:
    return _size(errors) in (0, _size(steps)) and not (as_points(errors) < 0).any()


def _are_siblings(names: Any, steps: Any, values: Any) -> bool:
    n = _size(names)
    return n == _size(steps) == _size(values) and (n == 0 or all(map(eq, map(_size, steps), map(_size, values))))


def _size(value: object) -> int:
    return len(value) if hasattr(value, "__len__") and not isinstance(value, str) else 0


def _increases(steps: object) -> bool:
    points = as_points(steps)
    return bool(np.isfinite(points).all() and (points >= 0).all() and (np.diff(points) > 0).all())


def _inside(values: object, lower: float, upper: float) -> bool:
    points = as_points(values)
    points = points[np.isfinite(points)]
    a, b = (-np.inf if pd.isna(lower) else lower), (np.inf if pd.isna(upper) else upper)
    return bool(a < b and ((points >= a) & (points <= b)).all())
