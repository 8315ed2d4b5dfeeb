"""Pass rates by relatives: other systems on the same items with more draws."""

from __future__ import annotations

import numpy as np

from foretell.predictors.downstream_scaling.laws.pass_at_k import LEAST_RELATIVES, PassRates


def rates_of(skill: float, rng: np.random.Generator, n: int = 1500) -> np.ndarray:
    """Items of which a third are out of reach; of the others more are easy where more is known."""
    return np.where(rng.random(n) < 0.3, 0.0, rng.beta(0.3 + skill, 1.0, n))


def test_relatives_tell_what_no_draw_has_solved_will_be() -> None:
    rng = np.random.default_rng(0)
    relatives = [
        PassRates.fit(rng.binomial(100, rates_of(skill, rng)), np.full(1500, 100)) for skill in np.linspace(0, 1, 8)
    ]
    alone, together, inside = [], [], []
    for _ in range(12):
        rate = rates_of(rng.uniform(0.1, 0.9), rng)
        c = rng.binomial(10, rate)
        true = float(((c > 0) | (rng.binomial(90, rate) > 0)).mean())
        own, by = (PassRates.fit(c, np.full(1500, 10), relatives=some) for some in ((), relatives))
        assert by.has_relatives
        row = by.coverage([100]).iloc[0]
        alone.append(abs(own.coverage([100])["pass_at_k"].iloc[0] - true))
        together.append(abs(row["pass_at_k"] - true))
        inside.append(row["lower"] <= true <= row["upper"])
    assert np.mean(together) < 0.02 < np.mean(alone)
    assert np.mean(inside) >= 0.7


def test_strangers_and_few_relatives_are_left_aside() -> None:
    rng = np.random.default_rng(1)
    c, n = rng.binomial(10, 0.5, 1500), np.full(1500, 10)
    strangers = [PassRates.fit(rng.binomial(100, rates_of(0.1, rng)), np.full(1500, 100))] * LEAST_RELATIVES
    own = PassRates.fit(c, n)
    for relatives in (strangers, [own] * (LEAST_RELATIVES - 1)):
        fitted = PassRates.fit(c, n, relatives=relatives)
        assert not fitted.has_relatives
        np.testing.assert_array_equal(fitted.weights, own.weights)
