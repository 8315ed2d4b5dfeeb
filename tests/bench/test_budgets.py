"""No budget of speed has slipped: ratios against a peer in one run, compared with those of `bench/budgets.json`."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.slow
def test_no_ratio_has_grown_by_more_than_a_third(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import budgets

    found = budgets.regressions(budgets.small())
    assert not found or not (found := budgets.regressions(budgets.small())), found  # one retry: neighbours make noise


def test_a_ratio_that_grew_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import budgets

    assert budgets.regressions({"--help": 0.01}) == []
    assert "was" in budgets.regressions({"--help": 100.0})[0]
