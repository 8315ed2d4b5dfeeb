"""Promotion by evidence: screen, shadow, e-value, as a pure function over nightly per-query losses.

A nightly challenger that is compared with the champion on one holdout wins some night by luck. Here it
must first clear a screen on past data (reused freely), is then frozen as the shadow and judged only on
queries labelled after that moment, by an e-value that may be looked at every night: the probability
that a shadow no better than the champion is ever promoted is at most `PromotionRule.error_probability`.

`decide` takes the state and a night's losses and returns the new state and a decision; both are plain
data that go through JSON. Simulated error rates and power: docs/studies/promotion.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import Floats
from ...errors import InvalidInputError

Action = Literal["wait", "start_shadow", "keep_shadow", "drop_shadow", "promote"]


@dataclass(frozen=True)
class PromotionRule:
    """Every threshold of the rule. The defaults were tuned and judged on separate seeds (docs/studies/promotion.md).

    Attributes
    ----------
    screen_nights
        Nights of labelled queries in the screen set; the caller selects them, and leaves out whatever
        the challenger or the champion was trained on.
    screen_z, screen_min_queries
        A challenger clears the screen where mean gain / standard error exceeds this, on so many queries at least.
    error_probability
        Bound on the probability that one shadow without any gain is ever promoted.
    tuned_units, min_units
        Units at which the e-value is most powerful; units before it counts, since its normal approximation needs some
        hundred queries.
    min_shadow_nights, max_shadow_nights
        A shadow that is behind after the first, or not promoted by the second, is dropped.
    min_gain_of_floor
        Least estimated gain of a promotion as a share of the noise floor, where the night names one.
    unit
        What is independent. ``"night"`` where nights drift; set `min_units` to some 14 nights then.
    """

    screen_nights: int = 90
    screen_z: float = 3.5
    screen_min_queries: int = 100
    error_probability: float = 0.05
    tuned_units: int = 400
    min_units: int = 100
    min_shadow_nights: int = 7
    max_shadow_nights: int = 84
    min_gain_of_floor: float = 0.0
    unit: Literal["query", "night"] = "query"

    def __post_init__(self) -> None:
        if not 0 < self.error_probability < 1:
            raise InvalidInputError(f"`error_probability` must be in (0, 1), got {self.error_probability}")
        if self.unit not in ("query", "night"):
            raise InvalidInputError(f"`unit` must be 'query' or 'night', got {self.unit!r}")
        if min(self.min_units, self.screen_min_queries, self.tuned_units) < 2:
            raise InvalidInputError("`min_units`, `screen_min_queries` and `tuned_units` must be >= 2")
        if self.max_shadow_nights < self.min_shadow_nights:
            raise InvalidInputError("`max_shadow_nights` must not be less than `min_shadow_nights`")


@dataclass(frozen=True)
class PromotionState:
    """What the rule remembers between nights: the last night (-1 before the first), the frozen candidate and its age.

    `total` and `total_squares` are sums over `n_units` queries or nights of differences, shadow - champion. Expected
    false promotions are at most `n_shadows`, the shadows ever started, times `error_probability`.
    """

    night: int = -1
    shadow: str | None = None
    shadow_nights: int = 0
    n_units: int = 0
    total: float = 0.0
    total_squares: float = 0.0
    n_shadows: int = 0
    n_promotions: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PromotionState:
        """Rebuild what `asdict` made; an InvalidInputError names fields that are missing or unknown."""
        wrong = sorted({f.name for f in fields(cls)} ^ set(values))
        if wrong:
            raise InvalidInputError(f"`values` is no promotion state: missing or unknown fields {wrong}")
        return cls(**values)


@dataclass(frozen=True)
class NightlyLosses:
    """What a night brings: its number, higher than the last, and tonight's newly trained challenger.

    Differences are candidate - champion, one number per query: negative is better. Those of the challenger are on the
    screen set, those of the shadow on queries labelled since it was last judged. `floor` is the noise floor of the
    loss, for `PromotionRule.min_gain_of_floor`.
    """

    night: int
    challenger: str | None = None
    screen_differences: ArrayLike = field(default=())
    shadow_differences: ArrayLike = field(default=())
    floor: float | None = None


@dataclass(frozen=True)
class PromotionDecision:
    """What to do tonight, and why.

    `gain` is champion - candidate in the unit of the loss, `log_e` the evidence of the shadow and `log_e_needed` what
    promotes; NaN where unknown.
    """

    action: Action
    candidate: str | None
    reason: str
    gain: float = float("nan")
    log_e: float = float("nan")
    log_e_needed: float = float("nan")


def decide(
    state: PromotionState, losses: NightlyLosses, rule: PromotionRule | None = None
) -> tuple[PromotionState, PromotionDecision]:
    """Apply the rule to one night.

    Raises InvalidInputError if the night is not later than the last, or a difference is NaN or infinite.
    """
    rule = rule or PromotionRule()
    if losses.night <= state.night:
        raise InvalidInputError(f"`night` must be later than {state.night}, got {losses.night}: it was decided already")
    state = replace(state, night=losses.night)
    if state.shadow is None:
        return _screen(state, losses, rule)
    return _judge(_collect(state, losses, rule), losses, rule)


def log_e_value(total: float, total_squares: float, n_units: int, tuned_units: int, error_probability: float) -> float:
    """Logarithm of the e-value against "the shadow is no better", valid at any stopping time.

    The mixture of ``exp(k S - k^2 n / 2)`` over a half-normal k > 0, with S the sum of standardised
    gains: a supermartingale where the mean gain is <= 0, asymptotically in the number of units.
    `total` and `total_squares` are of the differences candidate - champion; `tuned_units` is where the mixture is most
    powerful at the level `error_probability`. -inf for fewer than two units or differences without any spread.
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Time-uniform central limit theory and asymptotic confidence
    sequences; the one-sided mixture as in Howard et al. (2021).
    """
    from scipy import special  # what reads or keeps a state need not wait for it

    if n_units < 2:
        return float("-inf")
    variance = (total_squares - total**2 / n_units) / (n_units - 1)
    if variance <= 1e-300:
        return float("-inf")
    gain = -total / np.sqrt(variance)
    log_inverse = -2.0 * np.log(error_probability)
    prior = (log_inverse + np.log(log_inverse) + 1.0) / tuned_units if log_inverse > 1 else 1.0 / tuned_units
    spread = 1.0 + n_units * prior
    one_sided = np.log(2.0) + special.log_ndtr(np.sqrt(prior / spread) * gain)
    return float(one_sided - 0.5 * np.log(spread) + prior * gain**2 / (2.0 * spread))


def _screen(
    state: PromotionState, losses: NightlyLosses, rule: PromotionRule
) -> tuple[PromotionState, PromotionDecision]:
    name, d = losses.challenger, _differences(losses.screen_differences, "screen_differences")
    if name is None:
        return state, PromotionDecision("wait", None, "no shadow and no challenger tonight")
    if d.size < rule.screen_min_queries:
        return state, PromotionDecision(
            "wait", name, f"the screen set has {d.size} queries, needs {rule.screen_min_queries}"
        )
    gain, error = -float(d.mean()), float(d.std(ddof=1)) / float(np.sqrt(d.size))
    z = gain / error if error > 0 else float("nan")
    if not z > rule.screen_z:
        reason = f"gain {gain:.4g} on {d.size} past queries is z = {z:.2f}, needs {rule.screen_z:g}"
        return state, PromotionDecision("wait", name, reason, gain)
    started = replace(
        state, shadow=name, shadow_nights=0, n_units=0, total=0.0, total_squares=0.0, n_shadows=state.n_shadows + 1
    )
    reason = f"gain {gain:.4g} on {d.size} past queries is z = {z:.2f}: judged on new queries from now on"
    return started, PromotionDecision("start_shadow", name, reason, gain)


def _collect(state: PromotionState, losses: NightlyLosses, rule: PromotionRule) -> PromotionState:
    d = _differences(losses.shadow_differences, "shadow_differences")
    if rule.unit == "night" and d.size:
        d = d.mean(keepdims=True)
    return replace(
        state,
        shadow_nights=state.shadow_nights + 1,
        n_units=state.n_units + d.size,
        total=state.total + float(d.sum()),
        total_squares=state.total_squares + float(d @ d),
    )


def _judge(
    state: PromotionState, losses: NightlyLosses, rule: PromotionRule
) -> tuple[PromotionState, PromotionDecision]:
    n = state.n_units
    log_e = log_e_value(state.total, state.total_squares, n, rule.tuned_units, rule.error_probability)
    needed = -float(np.log(rule.error_probability))
    gain = -state.total / n if n else float("nan")
    least = rule.min_gain_of_floor * (losses.floor or 0.0)
    evidence = f"gain {gain:.4g} on {n} new {'queries' if rule.unit == 'query' else 'nights'}, log e {log_e:.2f}"

    def decision(action: Action, why: str) -> PromotionDecision:
        return PromotionDecision(action, state.shadow, f"{evidence}: {why}", gain, log_e, needed)

    free = replace(state, shadow=None, shadow_nights=0, n_units=0, total=0.0, total_squares=0.0)
    if n >= rule.min_units and log_e >= needed and gain > 0 and gain >= least:
        return replace(free, n_promotions=state.n_promotions + 1), decision("promote", f"{needed:.2f} is enough")
    if state.shadow_nights >= rule.max_shadow_nights:
        return free, decision("drop_shadow", f"no evidence after {state.shadow_nights} nights")
    if state.shadow_nights >= rule.min_shadow_nights and not gain > 0:
        return free, decision("drop_shadow", f"behind after {state.shadow_nights} nights")
    return state, decision("keep_shadow", f"needs {needed:.2f} and {rule.min_units} units")


def _differences(values: ArrayLike, name: str) -> Floats:
    d = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(d).all():
        raise InvalidInputError(f"`{name}` must be finite, got {int((~np.isfinite(d)).sum())} NaN or infinite values")
    return d
