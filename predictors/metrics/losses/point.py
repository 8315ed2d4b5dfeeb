"""The log loss of a forecast probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InvalidInputError


def log_loss(y_true: ArrayLike, probability: ArrayLike) -> NDArray[np.float64]:
    """Logarithmic loss of a forecast probability per sample, in nats. Lower is better; 0 is perfect.

    A certain forecast that is wrong would cost infinitely much: to clip it is the caller's decision.

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
