"""The promotion rule as a state machine: its thresholds on paper, its state through JSON, its error rate."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import integrate, stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics.deciding.promotion import (
    NightlyLosses,
    PromotionRule,
    PromotionState,
    decide,
    log_e_value,
)


def differences(mean: float, n: int, seed: int = 0) -> np.ndarray:
    """Exactly this mean and standard deviation 1."""
    d = np.random.default_rng(seed).normal(size=n)
    return mean + (d - d.mean()) / d.std(ddof=1)


def start(gain_z: float = 4.0) -> PromotionState:
    state, decision = decide(PromotionState(), NightlyLosses(0, "c1", differences(-gain_z / 20, 400)))
    assert decision.action == "start_shadow"
    return state


def test_screen_wants_its_z_and_enough_queries() -> None:
    for z, action in ((3.4, "wait"), (3.6, "start_shadow"), (-9.0, "wait")):
        _, decision = decide(PromotionState(), NightlyLosses(0, "c", differences(-z / 20, 400)))
        assert decision.action == action
    _, few = decide(PromotionState(), NightlyLosses(0, "c", differences(-5.0, 99)))
    assert few.action == "wait"
    assert "needs 100" in few.reason
    _, nobody = decide(PromotionState(), NightlyLosses(0))
    assert (nobody.action, nobody.candidate) == ("wait", None)


def test_shadow_is_promoted_on_new_evidence_only() -> None:
    state, decision = start(), None
    for night in range(1, 40):
        state, decision = decide(
            state, NightlyLosses(night, "other", differences(-9, 400), differences(-0.15, 40, night))
        )
        if decision.action != "keep_shadow":
            break
    assert decision is not None
    assert decision.action == "promote"
    assert decision.candidate == "c1"  # tonight's challengers were not even looked at
    assert decision.gain == pytest.approx(0.15)
    assert decision.log_e >= decision.log_e_needed == pytest.approx(np.log(20))
    assert 3 <= night <= 30
    assert state == PromotionState(night=night, n_shadows=1, n_promotions=1)


def test_shadow_is_dropped_when_behind_or_old() -> None:
    state = start()
    for night in range(1, 8):
        state, decision = decide(state, NightlyLosses(night, shadow_differences=differences(0.01, 40, night)))
        assert decision.action == ("drop_shadow" if night == 7 else "keep_shadow")
    assert state.shadow is None
    state = start()
    for night in range(1, 85):
        state, decision = decide(state, NightlyLosses(night, shadow_differences=differences(-0.001, 40, night)))
    assert decision.action == "drop_shadow"
    assert "84 nights" in decision.reason


def test_least_gain_and_nights_as_units() -> None:
    rule = PromotionRule(min_gain_of_floor=0.5)
    state = start()
    for night in range(1, 30):
        state, decision = decide(
            state, NightlyLosses(night, shadow_differences=differences(-0.2, 40, night), floor=1.0), rule
        )
    assert decision.log_e > decision.log_e_needed
    assert decision.action == "keep_shadow"
    by_night = PromotionRule(unit="night", min_units=14, tuned_units=20)
    state, rng = start(), np.random.default_rng(1)
    for night in range(1, 15):
        state, decision = decide(state, NightlyLosses(night, shadow_differences=rng.normal(-0.5, 1, 40)), by_night)
    assert (decision.action, state.n_promotions) == ("promote", 1)


def test_state_goes_through_json_and_replays_the_same() -> None:
    state = start()
    state, _ = decide(state, NightlyLosses(1, shadow_differences=differences(-0.1, 40)))
    again = PromotionState.from_dict(json.loads(json.dumps(asdict(state))))
    assert again == state
    night = NightlyLosses(2, shadow_differences=differences(-0.1, 40, 2))
    assert decide(again, night) == decide(state, night)
    with pytest.raises(InvalidInputError, match="unknown fields"):
        PromotionState.from_dict({"night": 1})


def test_bad_input() -> None:
    with pytest.raises(InvalidInputError, match="decided already"):
        decide(start(), NightlyLosses(0))
    with pytest.raises(InvalidInputError, match="must be finite"):
        decide(PromotionState(), NightlyLosses(0, "c", [np.nan] * 200))
    with pytest.raises(InvalidInputError, match="error_probability"):
        PromotionRule(error_probability=0)
    with pytest.raises(InvalidInputError, match="min_units"):
        PromotionRule(min_units=1)


def test_equal_losses_clear_no_screen_and_give_no_evidence() -> None:
    _, decision = decide(PromotionState(), NightlyLosses(0, "c", np.zeros(500)))
    assert decision.action == "wait"
    assert log_e_value(0.0, 0.0, 500, 400, 0.05) == -np.inf


def test_e_value_is_the_half_normal_mixture() -> None:
    d = differences(-0.1, 250)
    n, s, a = d.size, 0.1 * d.size, 0.05
    prior = (-2 * np.log(a) + np.log(-2 * np.log(a)) + 1) / 400
    mixture, _ = integrate.quad(
        lambda k: 2 * stats.norm.pdf(k, scale=np.sqrt(prior)) * np.exp(k * s - k * k * n / 2), 0, 3, epsabs=1e-12
    )
    assert log_e_value(d.sum(), d @ d, n, 400, a) == pytest.approx(np.log(mixture), rel=1e-6)


def test_a_useless_shadow_is_promoted_less_often_than_its_error_probability() -> None:
    # Looking every night for 84 nights at 40 heavy-tailed queries; a = .05 and 1,000 shadows: 4 sd is .028.
    rng, rule = np.random.default_rng(2), PromotionRule()
    d = rng.standard_t(4, size=(1000, 84, 40))
    total, squares = d.sum(axis=2).cumsum(axis=1), (d**2).sum(axis=2).cumsum(axis=1)
    log_e = np.array(
        [
            [log_e_value(total[i, t], squares[i, t], 40 * (t + 1), rule.tuned_units, 0.05) for t in range(2, 84, 4)]
            for i in range(1000)
        ]
    )
    assert np.mean((log_e >= np.log(20)).any(axis=1)) < 0.05 + 0.028
