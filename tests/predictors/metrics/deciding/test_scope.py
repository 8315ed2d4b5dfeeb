"""Promotion by scope: what is new must be better beyond luck, and nothing else may be worse."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics.deciding.scope import ScopeLosses, ScopeRule, decide_scope, gain_deviate


def losses(gain: float, n: int, seed: int = 0, spread: float = 0.2) -> NDArray[np.float64]:
    """Pairs of losses whose mean gain is exact; the champion's loss is about 1."""
    rng = np.random.default_rng(seed)
    champion = rng.uniform(0.8, 1.2, n)
    noise = rng.normal(0, spread, n)
    return np.stack([champion - gain + noise - noise.mean(), champion], axis=1)


ELSEWHERE = losses(0.0, 200, seed=1, spread=0.1)


def test_a_version_that_covers_a_new_cell_and_is_no_worse_elsewhere_is_promoted() -> None:
    decision = decide_scope(ScopeLosses({"gpt-5": losses(0.5, 60)}, ELSEWHERE))
    assert decision.promotes
    assert decision.covered == ("gpt-5",)
    assert "gain 0.5 on gpt-5, which the champion has never seen" in decision.reason
    assert "no worse on 200 other queries" in decision.reason


def test_a_cell_that_is_only_claimed_covers_nothing() -> None:
    decision = decide_scope(ScopeLosses({"gpt-5": losses(0.0, 500)}, ELSEWHERE))
    assert not decision.promotes
    assert "gpt-5: new to the champion, but the gain there is z = " in decision.reason


def test_a_gain_on_a_few_queries_covers_nothing() -> None:
    decision = decide_scope(ScopeLosses({"gpt-5": losses(0.9, 29)}, ELSEWHERE))
    assert (decision.promotes, decision.covered) == (False, ())
    assert "at most 29 held-out queries of 30" in decision.reason


@pytest.mark.parametrize("worse", [0.1, 0.3])
def test_a_version_that_is_worse_where_both_answer_is_not_promoted(worse: float) -> None:
    decision = decide_scope(ScopeLosses({"gpt-5": losses(2.0, 500)}, losses(-worse, 200, seed=1, spread=0.1)))
    assert not decision.promotes
    assert "not shown to be no worse" in decision.reason


def test_a_few_queries_where_both_answer_do_not_show_that_nothing_is_worse() -> None:
    alike = losses(0.0, 29, seed=1, spread=0.001)
    decision = decide_scope(ScopeLosses({"gpt-5": losses(0.5, 60)}, alike))
    assert not decision.promotes
    assert "not shown to be no worse on 29 other queries" in decision.reason


def test_a_gain_on_new_cells_hides_no_loss_elsewhere_nor_on_other_new_cells() -> None:
    thin = {f"thin {k}": losses(1.0, 20, seed=k) for k in range(20)}
    assert not decide_scope(
        ScopeLosses({"gpt-5": losses(2.0, 60), **thin}, losses(-0.2, 200, seed=1, spread=0.1))
    ).promotes
    other = decide_scope(ScopeLosses({"gpt-5": losses(2.0, 60), "gpt-4o": losses(-0.5, 100)}, ELSEWHERE))
    assert not other.promotes
    assert "worse on 100 queries of other new cells" in other.reason


def test_too_few_queries_elsewhere_show_nothing_and_none_can_be_worse() -> None:
    assert not decide_scope(ScopeLosses({"gpt-5": losses(0.5, 60)}, losses(0.0, 5, seed=1))).promotes
    assert decide_scope(ScopeLosses({"gpt-5": losses(0.5, 60)})).promotes


def test_one_query_with_a_huge_loss_widens_the_margin_for_none() -> None:
    # Under heavy tails the margin, a share of the mean loss, let in 1.5 % of versions that were worse by 1.5 margins.
    worse = losses(-0.15, 200, seed=1, spread=0.1)
    worse[0] = 400.0
    assert (worse[:, 0] - worse[:, 1]).mean() < 0.1 * worse[:, 1].mean()
    assert not decide_scope(ScopeLosses({"gpt-5": losses(0.5, 60)}, worse)).promotes


def test_nothing_new_is_no_scope() -> None:
    decision = decide_scope(ScopeLosses({}, losses(0.9, 500)))
    assert not decision.promotes
    assert "no cell that the champion does not know" in decision.reason


def test_the_deviate_is_as_improbable_as_students_t() -> None:
    pairs = losses(0.1, 10)
    t = stats.ttest_rel(pairs[:, 1], pairs[:, 0]).statistic
    assert stats.norm.sf(gain_deviate(pairs)) == pytest.approx(stats.t.sf(t, 9))
    assert gain_deviate(np.ones((40, 2))) == -np.inf


def test_impossible_losses_and_thresholds_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"in pairs, \(n_queries, 2\), got shape \(3,\)"):
        decide_scope(ScopeLosses({"gpt-5": [1.0, 2.0, 3.0]}))
    with pytest.raises(InvalidInputError, match="finite"):
        decide_scope(ScopeLosses({"gpt-5": [[1.0, np.nan]]}))
    for wrong in ({"min_queries": 1}, {"z": 0.0}, {"margin": 1.0}, {"margin_z": -1.0}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            ScopeRule(**wrong)
