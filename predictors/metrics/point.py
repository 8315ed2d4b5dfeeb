"""Losses of a single number against a single outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.errors import InvalidInputError

__all__ = ["absolute_error", "log_loss", "squared_error"]


def squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    """Squared error per sample, in the squared unit of the target. Lower is better; 0 is perfect.

    On outcomes 0 or 1 and a forecast probability this is the Brier score.

    Examples
    --------
    >>> squared_error([1.0, 3.0], [1.0, 1.0])
    array([0., 4.])
    """
    return (np.asarray(y_true, dtype=np.float64) - np.asarray(y_pred, dtype=np.float64)) ** 2


def absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    """Absolute error per sample, in the unit of the target. Lower is better; 0 is perfect.

    Examples
    --------
    >>> absolute_error([1.0, 3.0], [1.0, 1.0])
    array([0., 2.])
    """
    return np.abs(np.asarray(y_true, dtype=np.float64) - np.asarray(y_pred, dtype=np.float64))


def log_loss(y_true: ArrayLike, probability: ArrayLike) -> NDArray[np.float64]:
    """Logarithmic loss of a forecast probability per sample, in nats. Lower is better; 0 is perfect.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Outcomes, 0 or 1.
    probability : array-like of shape (n_samples,)
        Forecast probability of 1, strictly inside (0, 1): a certain forecast that is wrong costs
        infinitely much, and that is the caller's decision to make.

    Raises
    ------
    InvalidInputError
        If an outcome is not 0 or 1 or a probability not strictly inside (0, 1).

    Examples
    --------
    >>> log_loss([1.0], [0.5]).round(4)
    array([0.6931])
    """
    y = np.asarray(y_true, dtype=np.float64)
    p = np.asarray(probability, dtype=np.float64)
    if not np.isin(y, (0.0, 1.0)).all():
        raise InvalidInputError("`y_true` must be 0 or 1 for the log loss")
    if not ((p > 0) & (p < 1)).all():
        raise InvalidInputError("`probability` must be strictly inside (0, 1) for the log loss: clip it on purpose")
    return np.asarray(-np.where(y == 1, np.log(p), np.log1p(-p)))
