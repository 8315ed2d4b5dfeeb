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

from predictors.thinking_tokens.censoring import ResidualDistribution
from predictors.thinking_tokens.copula import ContextRuns, QueryCopula
from predictors.thinking_tokens.distribution import GRID, PooledQuantiles
from predictors.thinking_tokens.hierarchy import CATEGORIES, PooledLocation, cell_keys

__all__ = ["Follower", "add_curves", "add_effects", "common_spread", "fit_follower", "learn_anchors"]

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


def learn_anchors(
    location: PooledLocation,
    shapes: PooledQuantiles,
    copula: QueryCopula,
    X: pd.DataFrame,
    embedded: Floats,
    log_tokens: Floats,
    is_censored: NDArray[np.bool_],
    context: ContextRuns,
) -> None:
    """Teach `location`, `shapes` and `copula`, in place, the cells of some anchors.

    Parameters
    ----------
    location, shapes, copula : PooledLocation, PooledQuantiles, QueryCopula
        Copies of what was learnt.
    X : DataFrame of shape (n_anchors, n_columns)
    embedded : ndarray of shape (n_anchors, n_features)
        Their texts.
    log_tokens, is_censored : ndarrays of shape (n_anchors,)
    context : ContextRuns
        What is known of the anchors' queries.
    """
    configs = cell_keys(X, ("model", "reasoning_effort"))
    score, _ = copula.condition(configs, cell_keys(X, ("benchmark",)), context)
    spread = common_spread(shapes)
    cells = cell_keys(X, CATEGORIES)
    for cell in dict.fromkeys(cells):
        rows = cells == cell
        text = location.text_effect(X[rows], embedded[rows])
        residual = log_tokens[rows] - location.intercept(X[rows])
        if is_censored[rows].any():
            beyond = ResidualDistribution().fit(residual - text, is_censored[rows], np.ones(rows.sum()))
            residual = np.where(is_censored[rows], text + beyond.mean_beyond(residual - text), residual)
        follower = fit_follower(residual, text, score[rows], spread)
        add_effects(location, X[rows], follower)
        add_curves(shapes, X[rows], follower.spread)
        if str(configs[rows][0]) not in copula.configs_:
            copula.add(str(configs[rows][0]), follower.factor)


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
    slopes = location.slopes_of(X.iloc[:1])[0]
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
