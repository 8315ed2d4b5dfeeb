"""Promotion by scope: a version that answers for cells which the champion has never seen.

Screen, shadow and e-value (`promotion`) guard against luck among versions that answer the same questions. A champion
that has never seen a model that is asked about is not such a rival: it says what it says of any model. Here a version
is let in at once where it has learnt from cells that the champion has not, is better there on held-out queries beyond
any luck of a year of nights, and is no worse anywhere else.

Pure, like `promotion.decide`. Simulated error rates and power: docs/studies/promotion.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ...arrays import Floats
from ...errors import InvalidInputError


@dataclass(frozen=True)
class ScopeRule:
    """Thresholds of promotion by scope.

    `min_queries` held-out queries a cell, or all that the champion knows, needs to be judged at all. A cell is covered
    where the gain there is as improbable as `z` under no gain (Student's t, on the scale of a normal deviate): at 5 a
    useless challenger a night gets there once in some ten thousand years. `margin` is the share of the champion's loss
    on the cells that it knows by which the version may at most be worse there; that it is worse by less must be as
    improbable as `margin_z` if it were worse by the margin.
    """

    min_queries: int = 30
    z: float = 5.0
    margin: float = 0.1
    margin_z: float = 4.0

    def __post_init__(self) -> None:
        if self.min_queries < 2:
            raise InvalidInputError(f"`min_queries` must be >= 2, got {self.min_queries}")
        if not (self.z > 0 and self.margin_z > 0):
            raise InvalidInputError(f"`z` and `margin_z` must be positive, got {self.z} and {self.margin_z}")
        if not 0 <= self.margin < 1:
            raise InvalidInputError(f"`margin` must be in [0, 1), got {self.margin}")


@dataclass(frozen=True)
class ScopeLosses:
    """Held-out losses of a version beside the champion's: per query two numbers, the version's loss first.

    `by_new_cell` on each cell that the version has learnt from and the champion has not, `elsewhere` on all other rows.
    """

    by_new_cell: Mapping[str, ArrayLike]
    elsewhere: ArrayLike = field(default_factory=lambda: np.empty((0, 2)))


@dataclass(frozen=True)
class ScopeDecision:
    """Whether scope promotes, the new cells on which the version is better beyond luck, and why in a sentence."""

    promotes: bool
    covered: tuple[str, ...]
    reason: str


def decide_scope(losses: ScopeLosses, rule: ScopeRule | None = None) -> ScopeDecision:
    """Decide whether a version becomes champion by what it covers.

    It does where at least one new cell with `ScopeRule.min_queries` held-out queries is covered, where on the rows of
    cells that the champion knows the version is worse by less than the margin, beyond luck, and where on new cells that
    are thin or not covered it is not worse by `margin_z` standard errors. New cells stand by themselves: a gain there
    can hide no loss elsewhere. Where the champion knows no row there is nothing to be worse at. Raises
    InvalidInputError if a loss is NaN or infinite, or losses do not come in pairs.
    """
    rule = rule or ScopeRule()
    pairs = {name: _pairs(values) for name, values in losses.by_new_cell.items()}
    deviates = {name: gain_deviate(pair) for name, pair in pairs.items() if len(pair) >= rule.min_queries}
    covered = tuple(sorted(name for name, z in deviates.items() if z >= rule.z))
    if not covered:
        return ScopeDecision(False, (), _nothing_covered(pairs, deviates, rule))
    new = np.concatenate([pairs[name] for name in covered]).mean(axis=0)
    least = min(deviates[name] for name in covered)
    text = (
        f"gain {new[1] - new[0]:.4g} on {_listed(covered)}, which the champion has never seen "
        f"(z = {least:.1f}, needs {rule.z:g})"
    )
    uncovered = np.concatenate([np.empty((0, 2)), *(pair for name, pair in pairs.items() if name not in covered)])
    worse, error = _worse(uncovered)
    if worse > rule.margin_z * error:
        numbers = f"difference {worse:+.2g}, standard error {error:.2g}"
        return ScopeDecision(
            False, covered, f"{text}; worse on {len(uncovered)} queries of other new cells ({numbers})"
        )
    elsewhere = _pairs(losses.elsewhere)
    if not len(elsewhere):
        return ScopeDecision(True, covered, f"{text}; no query of a cell that the champion knows was held out")
    worse, _ = _worse(elsewhere)
    # Query by query, so that one query whose loss is huge for both does not widen the margin for all.
    enough = len(elsewhere) >= rule.min_queries
    deviate = gain_deviate(elsewhere * (1.0, 1.0 + rule.margin)) if enough else float("-inf")
    verdict = "no worse" if deviate >= rule.margin_z else "not shown to be no worse"
    numbers = f"difference {worse:+.2g}, margin {rule.margin * float(elsewhere[:, 1].mean()):.2g}, z = {deviate:.1f}"
    return ScopeDecision(
        deviate >= rule.margin_z,
        covered,
        f"{text}; {verdict} on {len(elsewhere)} other queries ({numbers}, needs {rule.margin_z:g})",
    )


def gain_deviate(losses: Floats) -> float:
    """Mean gain over its standard error, on the scale of a normal deviate; -inf without spread.

    `losses` of shape (n_queries, 2) are the version's and the champion's.
    """
    gain = losses[:, 1] - losses[:, 0]
    error = _standard_error(gain)
    if not 0 < error < np.inf:
        return float("-inf")
    log_p = stats.t.logsf(float(gain.mean()) / error, gain.size - 1)
    return float(-stats.norm.ppf(np.exp(log_p))) if log_p > -700 else float("inf")


def _worse(pairs: Floats) -> tuple[float, float]:
    """Mean difference, version - champion, and its standard error; 0 and infinity for no queries."""
    d = pairs[:, 0] - pairs[:, 1]
    return (float(d.mean()) if d.size else 0.0), _standard_error(d)


def _standard_error(values: Floats) -> float:
    """Standard error of the mean; infinite for a single value."""
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("inf")


def _nothing_covered(cells: Mapping[str, Floats], deviates: Mapping[str, float], rule: ScopeRule) -> str:
    if not cells:
        return "it has learnt from no cell that the champion does not know"
    if not deviates:
        most = max(len(pair) for pair in cells.values())
        return (
            f"{_listed(sorted(cells))}: new to the champion, but at most {most} held-out queries of {rule.min_queries}"
        )
    best = max(deviates, key=lambda name: deviates[name])
    return f"{best}: new to the champion, but the gain there is z = {deviates[best]:.1f}, needs {rule.z:g}"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _pairs(values: ArrayLike) -> Floats:
    pairs = np.asarray(values, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise InvalidInputError(f"losses must be finite and come in pairs, (n_queries, 2), got shape {pairs.shape}")
    return pairs
