"""A new model from a few anchor runs, without training again.

The log tokens of the anchors are regressed on what the average model is expected to take on the same
queries, by their text and by the runs of other models that are known: the intercept is the model's length
on an ordinary query, the slope how widely it spreads with difficulty, the rest its own noise. So twenty
queries that happen to be hard are not mistaken for a long-winded model. Slope and noise are pulled towards
what holds for the models that were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from predictors.thinking_tokens.distribution import GRID, PooledQuantiles
from predictors.thinking_tokens.hierarchy import PooledLocation, cell_keys

__all__ = ["Follower", "add_curves", "add_effects", "common_spread", "fit_follower"]

Floats = NDArray[np.float64]
SLOPE_ANCHORS = 3.0
NOISE_ANCHORS = 5.0


@dataclass(frozen=True)
class Follower:
    """How a new model's log tokens follow what is expected of the average model on the same query.

    Attributes
    ----------
    intercept : float
        Log tokens above the location of an unknown model, on an ordinary query.
    slope : float
        Log tokens per log token by which the query is expected to be longer than an ordinary one.
    factor : float
        Correlation with the others relative to the average model's.
    spread : float
        Standard deviation, in log tokens, of what the text does not say.
    """

    intercept: float
    slope: float
    factor: float
    spread: float


def fit_follower(residual: Floats, text: Floats, score: Floats, spread: float) -> Follower:
    """Regress the anchors on what text and other models make one expect of the average model.

    Parameters
    ----------
    residual : ndarray of shape (n_anchors,)
        Log tokens minus the intercept of an unknown model.
    text : ndarray of shape (n_anchors,)
        What the text adds for an unknown model, in log tokens.
    score : ndarray of shape (n_anchors,)
        Normal score that known runs of the query make one expect.
    spread : float
        Standard deviation of the residuals of the models that were trained on, in log tokens per score.
    """
    n = len(residual)
    expected = text + spread * score
    centre, mean = float(expected.mean()), float(residual.mean())
    prior = SLOPE_ANCHORS * max(float(expected.var()), 0.05 * spread**2)
    cross = float(((expected - centre) * (residual - mean)).sum())
    slope = max((cross + prior) / (n * float(expected.var()) + prior), 0.0)
    intercept = mean - slope * centre
    explained = float((score**2).mean())
    beforehand = (slope * spread) ** 2 * max(1.0 - explained, 0.1)
    squares = float(((residual - intercept - slope * expected) ** 2).sum())
    noise = (squares + NOISE_ANCHORS * beforehand) / (max(n - 2.0, 0.0) + NOISE_ANCHORS)
    # The intercept and the slope are estimates too: what they may be off belongs to the spread.
    noise *= 1.0 + 2.0 / n
    own = float(np.sqrt((slope * spread) ** 2 * explained + noise))
    return Follower(intercept, slope, min(slope * spread / own, 1.5), own)


def add_effects(location: PooledLocation, X: pd.DataFrame, follower: Follower) -> None:
    """Give the unknown groups of one cell, in place, its intercept and its slopes, at the coarsest of them."""
    unknown = [
        (i, str(cell_keys(X, level)[0]))
        for i, (level, groups) in enumerate(zip(location.levels_, location.groups_, strict=True))
        if str(cell_keys(X, level)[0]) not in groups
    ]
    slopes = location.slope(X.iloc[:1])
    for place, (i, key) in enumerate(unknown):
        location.groups_[i][key] = len(location.intercepts_[i])
        location.intercepts_[i] = np.append(location.intercepts_[i], follower.intercept if place == 0 else 0.0)
        location.sizes_[i] = np.append(location.sizes_[i], float(len(X)))
        own = (follower.slope - 1.0) * slopes if place == 0 else np.zeros_like(slopes)
        location.slopes_[i + 1] = np.vstack([location.slopes_[i + 1], own[None, :]])


def add_curves(shapes: PooledQuantiles, X: pd.DataFrame, spread: float) -> None:
    """Give the unknown groups of `X` in `shapes`, in place, a log-normal shape with deviation `spread`.

    Log-normal, because a follower is linear in the score: the shape of all models together is bimodal where
    one of them runs away, and would bend the line.
    """
    curve = spread * ndtri(GRID)
    for level, found in zip(shapes.levels, shapes.curves_[1:], strict=True):
        for key in {str(k) for k in cell_keys(X, level)} - set(found):
            found[key] = curve


def common_spread(shapes: PooledQuantiles) -> float:
    """Half the distance between the 16 % and the 84 % quantile of the residuals of all runs, in log tokens."""
    lower, upper = np.interp([0.16, 0.84], GRID, shapes.curves_[0][""])
    return float(upper - lower) / 2
