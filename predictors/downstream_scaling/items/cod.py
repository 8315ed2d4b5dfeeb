"""Clustering On Difficulty: extrapolate the items that scale, map from them to all (arXiv 2502.17262, version 4).

Per cluster of `difficulty.cluster_difficulty` a law ``y = g + (1 - g) exp(-a C^-b - c)`` is fitted; clusters whose law
does not scale are dropped; the rest is extrapolated, and a monotone spline through (0, 0) and (1, 1) leads from the
score on them to the score on all items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.optimize import nnls

from ...arrays import Codes, Floats
from ...errors import InvalidInputError
from ..ladder import Ladder
from ..laws.curves import EXPONENTIAL_FREE_FLOOR
from .difficulty import LEAST_ITEMS, cluster_difficulty

UNIT_FLOPS = 1e18
"""Unit of C in the paper; the threshold on `a` depends on it."""
SMALLEST_IN_UNITS = 40.0
A_MIN, B_MIN, C_MAX = 1.0, 0.1, 1.0
RMSE_MAX = 0.1
"""Not in the paper, whose filters let pass a law that lies flat through a falling cluster."""
LEAST_MODELS = 4
LEAST_RATIO = 0.2
MAP_RMSE = 0.005
MAP_SMOOTHING = 1e-2
FIT_SCALE = 0.02


@dataclass(frozen=True)
class CodReport:
    """A COD forecast and what it rests on.

    Attributes
    ----------
    score : float
        Forecast of the pass rate on all items (0-1); NaN where COD abstains.
    predictable_ratio : float
        Share of all items in clusters that count; NaN where the items are not known.
    reason : str
        Why COD abstains; empty where it answers.
    """

    score: float
    predictable_ratio: float
    reason: str


def unit_of_ladder(flops: Floats) -> float:
    """Unit of compute, FLOPs, that puts the smallest model, of `flops` (n_models,), where the paper's is: at 40 units.

    For ladders of toy models, whose compute in units of 1e18 FLOPs would make every ``a`` vanish.
    """
    return float(flops.min()) / SMALLEST_IN_UNITS


def report_cod(ladder: Ladder) -> CodReport:
    """COD of a ladder, which abstains unless the items of every model are known."""
    rates = ladder.pass_rates
    if rates is None or not len(ladder) or not np.isfinite(rates).all():
        return CodReport(float("nan"), float("nan"), "the items of some model are not known")
    unit = UNIT_FLOPS if ladder.flops[0] >= UNIT_FLOPS else unit_of_ladder(ladder.flops)
    return forecast_cod(rates, ladder.flops, ladder.target_flops, unit_flops=unit)


def forecast_cod(
    pass_rates: Floats, flops: Floats, target_flops: float, *, unit_flops: float = UNIT_FLOPS
) -> CodReport:
    """Forecast the mean pass rate of a larger model.

    Parameters
    ----------
    pass_rates : ndarray of shape (n_models, n_items)
        Of the small models, by compute, averaged over adjacent checkpoints.
    flops : ndarray of shape (n_models,)
        Their compute, ascending.
    target_flops : float
    unit_flops : float, optional
        Unit of C. The filters ``a > 1, b > 0.1, 0 <= c < 1`` of the paper hold for 1e18; see `unit_of_ladder`.

    Raises
    ------
    InvalidInputError
        If shapes disagree, rates are outside 0-1, or compute is not positive and ascending.
    """
    pass_rates, flops = np.asarray(pass_rates, dtype=np.float64), np.asarray(flops, dtype=np.float64)
    _check(pass_rates, flops, target_flops)
    if len(flops) < LEAST_MODELS:
        return CodReport(float("nan"), 0.0, f"{len(flops)} models: a cluster's law has 4 parameters and needs 4")
    labels, _ = cluster_difficulty(pass_rates)
    groups = [np.flatnonzero(labels == k) for k in range(labels.max(initial=-1) + 1)]
    if not groups:
        return CodReport(float("nan"), 0.0, f"no {LEAST_ITEMS} items are alike: nothing to extrapolate")
    targets, faults = _fit_laws(pass_rates, flops, target_flops, groups, unit_flops)
    kept = [k for k, fault in enumerate(faults) if not fault]
    sizes = [len(groups[k]) for k in kept]
    ratio = sum(sizes) / pass_rates.shape[1]
    if not kept:
        return CodReport(float("nan"), ratio, "no cluster's law scales: " + "; ".join(sorted(set(faults))))
    if ratio < LEAST_RATIO:
        return CodReport(float("nan"), ratio, f"only {ratio:.0%} of the items are predictable")
    subset = np.average(targets[kept], weights=sizes)
    members = np.concatenate([groups[k] for k in kept])
    x, y = pass_rates[:, members].mean(axis=1), pass_rates.mean(axis=1)
    return CodReport(float(monotone_map(x, y, np.array([subset]))[0]), ratio, "")


def _check(pass_rates: Floats, flops: Floats, target_flops: float) -> None:
    if pass_rates.ndim != 2 or pass_rates.shape[0] != len(flops) or not pass_rates.size:
        raise InvalidInputError(
            f"`pass_rates` must have shape (n_models, n_items) with {len(flops)} models, got {pass_rates.shape}"
        )
    if not ((pass_rates >= 0) & (pass_rates <= 1)).all():
        raise InvalidInputError("`pass_rates` must be in 0-1 without gaps: leave out models without items")
    if not (flops > 0).all() or not target_flops > 0 or (np.diff(flops) < 0).any():
        raise InvalidInputError("`flops` must be positive and ascending; a negative value is an int64 that overflowed")


def _fit_laws(
    pass_rates: Floats, flops: Floats, target_flops: float, groups: Sequence[Codes], unit_flops: float
) -> tuple[Floats, list[str]]:
    """Laws of all clusters, fitted in one batch: pass rate at the target's compute, and why a law does not count."""
    law = EXPONENTIAL_FREE_FLOOR
    y = np.stack([pass_rates[:, rows].mean(axis=1) for rows in groups], axis=1)
    x = np.repeat(np.log(flops / flops[-1])[:, None], len(groups), axis=1)
    theta = law.fit(x, y, np.full_like(y, FIT_SCALE))
    rmse = np.sqrt(((law.curve(theta, x) - y) ** 2).mean(axis=0))
    target = law.curve(theta, np.full(len(groups), np.log(target_flops / flops[-1])))
    b, c = np.exp(theta[1:3])
    a = np.exp(theta[0] + b * np.log(flops[-1] / unit_flops))
    checks = (
        (a > A_MIN, f"a <= {A_MIN:g} (hardly depends on compute)"),
        (b > B_MIN, f"b <= {B_MIN:g} (too flat)"),
        (c < C_MAX, f"c >= {C_MAX:g} (its ceiling is too low)"),
        (rmse <= RMSE_MAX, f"rmse > {RMSE_MAX:g} (does not follow the law)"),
    )
    return target, [", ".join(text for holds, text in checks if not holds[k]) for k in range(len(groups))]


def monotone_map(x: Floats, y: Floats, at: Floats) -> Floats:
    """A monotone cubic spline through (0, 0) and (1, 1), fitted to `x`, `y` (n,) and read at `at` (m,), cut to [0, 1].

    Least squares, pulled a little to a line; knots are added until the root mean squared error is below `MAP_RMSE`.
    """
    order = np.argsort(x, kind="stable")
    x, y = np.clip(x[order], 0, 1), np.clip(y[order], 0, 1)
    least, best = np.inf, np.empty(0)
    for n_knots in range(len(x)):
        inner = np.unique(np.quantile(x, np.linspace(0, 1, n_knots + 2)[1:-1])) if n_knots else np.empty(0)
        inner = inner[(inner > 1e-3) & (inner < 1 - 1e-3)]
        knots = np.r_[np.zeros(4), inner, np.ones(4)]
        steps = _fit_steps(x, y, knots)
        rmse = float(np.sqrt(((np.clip(_increments(x, knots) @ steps, 0, 1) - y) ** 2).mean()))
        if rmse < least:
            least, best = rmse, np.clip(_increments(np.clip(at, 0, 1), knots) @ steps, 0, 1)
        if rmse < MAP_RMSE:
            break
    return best


def _increments(x: Floats, knots: Floats) -> Floats:
    """Sums of B-splines from each on (I-splines); the constant first one is left out."""
    basis = BSpline.design_matrix(x, knots, 3).toarray()
    return np.asarray(basis[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])


def _fit_steps(x: Floats, y: Floats, knots: Floats) -> Floats:
    basis = _increments(x, knots)
    n = basis.shape[1]
    greville = np.array([knots[i + 1 : i + 4].mean() for i in range(n + 1)])
    straight = np.diff(greville)  # these increments draw the identity
    matrix = np.vstack([basis, MAP_SMOOTHING * np.eye(n), 1e3 * np.ones((1, n))])
    steps, _ = nnls(matrix, np.r_[y, MAP_SMOOTHING * straight, 1e3])
    return np.asarray(steps / steps.sum())
