"""Planning: required items and the cheapest split."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import DifferenceVariance, plan_items, required_queries

VARIANCE = DifferenceVariance(0.05, 0.3)


def test_planned_items_have_the_planned_power() -> None:
    for effect in (0.05, 0.2):
        n = required_queries(effect, VARIANCE, 2)
        shift = effect / np.sqrt(VARIANCE.of_mean(2) / n)
        assert stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, shift) == pytest.approx(0.8, abs=0.01)
    assert required_queries(0.1, VARIANCE, 4) < required_queries(0.1, VARIANCE, 1)
    with pytest.raises(InvalidInputError, match="> 0"):
        required_queries(0, VARIANCE)


def test_planned_items_find_the_difference_as_often_as_foretold() -> None:
    rng = np.random.default_rng(0)
    n = required_queries(0.1, VARIANCE, 3)
    d = 0.1 + rng.normal(0, np.sqrt(VARIANCE.of_mean(3)), (4000, n))
    t = d.mean(axis=1) / (d.std(axis=1, ddof=1) / np.sqrt(n))
    assert np.mean(t > stats.t.ppf(0.975, n - 1)) == pytest.approx(0.8, abs=0.03)  # 4 se


def test_the_cheapest_split_is_the_closed_form() -> None:
    plan = plan_items([0.02], VARIANCE, cost_per_item=6.0, cost_per_run=1.0)
    best = plan.loc[plan["is_cheapest"], "replicates"].item()
    assert best == round(np.sqrt(0.3 / 0.05 * 6.0))
    assert plan["cost"].to_numpy() == pytest.approx((plan["n_items"] * (6 + plan["replicates"])).to_numpy())
    doubled = plan_items([0.02], VARIANCE, design_effect=2.0)
    assert doubled["n_items"].iloc[0] == pytest.approx(2 * plan["n_items"].iloc[0], rel=0.01)
    with pytest.raises(InvalidInputError, match="both parts"):
        plan_items([0.02], DifferenceVariance(0.1, float("nan")))
    with pytest.raises(InvalidInputError, match="costs"):
        plan_items([0.02], VARIANCE, cost_per_run=0.0)
