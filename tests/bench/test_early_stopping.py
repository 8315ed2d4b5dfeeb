"""Replayed policies on runs whose ends are known: what is stopped where, what that saves and costs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

BENCH = Path(__file__).parents[2] / "bench"
CUTS = (0.25, 0.5)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import early_stopping

    return early_stopping


def runs_of(*values: tuple[float, float, float]) -> pd.DataFrame:
    """Runs by their values at the two cuts and at the end; the forecast knows the end."""
    rows = [
        {"dataset": "d", "metric": "m", "query_id": "q", "curve": f"c{i}", "setting": f"s{i}", "cut": f"{cut:.0%}",
         "last": value, "median": end, "scale": 0.01, "end": end, "width": 2.0, "spread": 0.1, "spent": cut,
         "total": 1.0}
        for i, (*begun, end) in enumerate(values)
        for cut, value in zip(CUTS, begun, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_halving_keeps_the_best_half_at_every_rung_and_a_late_winner_is_lost(replayed: ModuleType) -> None:
    runs = runs_of((4, 4, 4), (3, 3, 5), (2, 1, 1), (1, 2, 6))
    saved, regret = replayed.simulate(runs, replayed.halving_rule(2), np.random.default_rng(0))
    assert saved == pytest.approx(1 - (0.25 + 0.25 + 0.5 + 1.0) / 4)
    assert regret == pytest.approx((6 - 4) / 2.0), "in shares of the best run's range"


def test_a_forecast_that_knows_the_end_stops_all_but_the_best_at_once(replayed: ModuleType) -> None:
    runs = runs_of((4, 4, 4), (3, 3, 5), (2, 1, 1), (1, 2, 6))
    saved, regret = replayed.simulate(runs, replayed.forecast_rule(0.05), np.random.default_rng(0))
    assert saved == pytest.approx(1 - (3 * 0.25 + 1.0) / 4)
    assert regret == 0.0


def test_asha_compares_with_those_that_came_before_and_hyperband_within_a_bracket(replayed: ModuleType) -> None:
    now = pd.DataFrame({"last": [1.0, 2.0, 0.0, 3.0], "bracket": [0, 0, 1, 1], "rung": 0})
    assert replayed.asha_rule(2)(now).tolist() == [True, True, False, True], "the first is the best that has come"
    assert replayed.hyperband_rule(2)(now).tolist() == [False, True, True, True], "the second bracket has not begun"
    assert replayed.hyperband_rule(2)(now.assign(rung=1)).tolist() == [False, True, False, True]
