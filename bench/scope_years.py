"""A year of nights after a new model came up: whom does `decide_scope` let in? Shared by bench/promotion_study.py.

Held-out queries of the old cells and of three new ones come in night by night. The champion has never seen the new
cells, so that its errors there are large; tonight's challenger has learnt from them, or only says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.predictors.metrics.deciding.scope import ScopeLosses, ScopeRule, decide_scope

Floats = NDArray[np.float64]
NIGHTS = 365
WINDOW = 90
NEW_CELLS = 3
CHAMPION_EXCESS, UNSEEN_EXCESS = 0.25, 1.0


@dataclass(frozen=True)
class ScopeSetting:
    """Held-out queries a night in the old cells and in each new one, noise of a run, agreement with the champion.

    A refit of one recipe with more data agrees with the champion: on the bundled data the difference of a query's loss
    has a deviation of .11 of the loss; here it is .27 at the default correlation, and .47 at .9.
    """

    name: str
    old: int
    new: int
    floor: float = 0.5
    heavy: bool = False
    correlation: float = 0.97


SETTINGS = (
    ScopeSetting("reference (6 old and 3 x 1 new held-out queries a night)", 6, 1),
    ScopeSetting("heavy tails (t4 noise, log sigma spread .5)", 6, 1, heavy=True),
    ScopeSetting("hardly any old queries (1 old, 3 x 3 new)", 1, 3),
    ScopeSetting("many queries (30 old, 3 x 10 new)", 30, 10),
    ScopeSetting("versions disagree (correlation .9)", 6, 1, correlation=0.9),
)


@dataclass(frozen=True)
class Challenger:
    """What is true of every night's challenger: excess error in the new cells and in the old ones."""

    name: str
    new_excess: float
    old_excess: float
    is_wanted: bool


def challengers(floor: float, margin: float) -> tuple[Challenger, ...]:
    """Useless ones, and the one that is wanted; "worse" is worse by so many margins of the champion's loss."""
    loss = floor + CHAMPION_EXCESS
    worse = [
        Challenger(
            f"covers, worse elsewhere by {times:g} margins", 0.25, CHAMPION_EXCESS + times * margin * loss, False
        )
        for times in (1.5, 2)
    ]
    return (
        Challenger("claims the cells, no better there", UNSEEN_EXCESS, CHAMPION_EXCESS, False),
        *worse,
        Challenger("covers, equal elsewhere", 0.25, CHAMPION_EXCESS, True),
    )


@dataclass(frozen=True)
class ScopeYears:
    """First night of each year on which scope promoted; `NIGHTS` where it never did."""

    first: NDArray[np.intp]

    @property
    def promoted(self) -> int:
        """Years with a promotion."""
        return int((self.first < NIGHTS).sum())


def simulate_scope(setting: ScopeSetting, challenger: Challenger, rule: ScopeRule, years: int, seed: int) -> ScopeYears:
    """Every night another challenger of the same kind is judged on the held-out queries of the last 90 nights."""
    rng = np.random.default_rng(seed)
    first = np.full(years, NIGHTS, dtype=np.intp)
    groups = {"old": setting.old, **{f"new {k}": setting.new for k in range(NEW_CELLS)}}
    held = {name: (np.empty((years, 0)), np.empty((years, 0))) for name in groups}
    for night in range(NIGHTS):
        waiting = np.flatnonzero(first == NIGHTS)
        if not waiting.size:
            break
        pairs = {}
        for name, per_night in groups.items():
            excess = CHAMPION_EXCESS if name == "old" else UNSEEN_EXCESS
            fresh = rng.normal(size=(years, per_night)) * np.sqrt(excess), _noise(rng, setting, (years, per_night))
            keep = per_night * (WINDOW - 1)
            errors, noise = (
                np.concatenate([old[:, max(old.shape[1] - keep, 0) :], new], axis=1)
                for old, new in zip(held[name], fresh, strict=True)
            )
            held[name] = errors, noise
            risk = challenger.old_excess if name == "old" else challenger.new_excess
            r = setting.correlation
            other = r * np.sqrt(risk / excess) * errors
            other = other + np.sqrt(risk * (1 - r * r)) * rng.normal(size=errors.shape)
            pairs[name] = np.stack([(other - noise) ** 2, (errors - noise) ** 2], axis=2)
        for year in waiting[_may_pass(pairs, rule)[waiting]]:
            new = {name: pair[year] for name, pair in pairs.items() if name != "old"}
            if decide_scope(ScopeLosses(new, pairs["old"][year]), rule).promotes:
                first[year] = night
    return ScopeYears(first)


def _may_pass(pairs: dict[str, Floats], rule: ScopeRule) -> NDArray[np.bool_]:
    """Years in which `decide_scope` is worth asking, all at once: some new cell's t, and the margin elsewhere."""
    covered = np.zeros(len(pairs["old"]), dtype=bool)
    for name, pair in pairs.items():
        d = pair[:, :, 1] - pair[:, :, 0]
        n = d.shape[1]
        t = d.mean(axis=1) / (d.std(axis=1, ddof=1) / np.sqrt(n)) if n > 1 else np.zeros(len(d))
        if name == "old":
            d = d + rule.margin * pair[:, :, 1]
            error = d.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(d), np.inf)
            no_worse = (d.mean(axis=1) >= rule.margin_z * error) & (n >= rule.min_queries)
        elif n >= rule.min_queries:
            covered |= t >= rule.z  # the deviate that decides is never above t
    return np.asarray(covered & no_worse)


def _noise(rng: np.random.Generator, setting: ScopeSetting, shape: tuple[int, int]) -> Floats:
    x = rng.normal(size=shape)
    if setting.heavy:
        x = rng.standard_t(4, size=shape) / np.sqrt(2) * np.exp(0.5 * x - 0.25)
    return np.asarray(x * np.sqrt(setting.floor))
