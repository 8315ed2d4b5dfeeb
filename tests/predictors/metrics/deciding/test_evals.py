"""Comparisons of evals: closed forms, second definitions, and what degenerate logs may say."""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import (
    compare_systems,
    holm,
    interquartile_mean,
    pass_at_k,
    pass_hat_k,
    rank_intervals,
    sentence,
    summarise_systems,
)


def long(system: str, runs: np.ndarray, **columns: object) -> pd.DataFrame:
    n, r = runs.shape
    table = pd.DataFrame({"system": system, "item": np.repeat(np.arange(n), r), "replicate": np.tile(np.arange(r), n)})
    return table.assign(score=runs.ravel().astype(float), **columns)


def one(*parts: pd.DataFrame, margin: float = 0.02) -> pd.Series:
    return compare_systems(pd.concat(parts), margin=margin).iloc[0]


def test_the_paired_difference_is_the_t_test_over_items() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, (40, 3)), rng.normal(0, 1, (40, 3))
    row, expected = one(long("a", a), long("b", b)), stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    ends = expected.confidence_interval()
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert (row["ci_lower"], row["ci_upper"]) == pytest.approx((ends.low, ends.high))
    assert row["p_value"] >= expected.pvalue * (1 - 1e-9)
    assert row["probability_of_improvement"] == pytest.approx(
        np.mean([stats.mannwhitneyu(x, y).statistic / 9 for x, y in zip(a, b, strict=True)])
    )


def test_equivalence_is_two_one_sided_t_tests() -> None:
    rng = np.random.default_rng(1)
    d = 0.01 * rng.normal(size=60)
    row = one(long("a", d[:, None]), long("b", np.zeros((60, 1))), margin=0.01)
    sides = [stats.ttest_1samp(d, end, alternative=side).pvalue for end, side in ((-0.01, "greater"), (0.01, "less"))]
    assert row["p_value_equivalence"] == pytest.approx(max(sides))
    assert row["verdict"] == "equal"
    assert "equal within 0.01" in sentence(row.to_dict())


def test_clusters_widen_as_the_closed_form_says() -> None:
    rng = np.random.default_rng(2)
    of, ratios = np.repeat(np.arange(80), 5), []
    for _ in range(20):
        d = np.sqrt(0.4) * rng.normal(size=80)[of] + np.sqrt(0.6) * rng.normal(size=400)
        row = one(long("a", d[:, None], cluster=of), long("b", np.zeros((400, 1)), cluster=of))
        ratios.append((row["standard_error"] / row["standard_error_unclustered"]) ** 2)
    assert np.mean(ratios) == pytest.approx(1 + 4 * 0.4, abs=4 * np.std(ratios) / np.sqrt(20))


def test_holm_by_hand_and_ranks_follow_the_verdicts() -> None:
    assert holm([0.01, np.nan, 0.04, 0.03]).tolist() == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    rng = np.random.default_rng(3)
    base = rng.normal(size=(200, 1))
    parts = [
        long(name, base + shift + 0.3 * rng.normal(size=(200, 1))) for name, shift in (("a", 1), ("b", 0), ("c", 0))
    ]
    ranks = rank_intervals(compare_systems(pd.concat(parts))).set_index("system")
    assert ranks.loc["a"].tolist() == [1, 1]
    assert ranks.loc["b"].tolist() == ranks.loc["c"].tolist() == [2, 3]


def test_pass_at_k_and_pass_hat_k_count_the_draws() -> None:
    for n, c, k in ((5, 2, 3), (7, 6, 2), (4, 0, 1)):
        assert pass_at_k([c], [n], k)[0] == pytest.approx(1 - comb(n - c, k) / comb(n, k))
        assert pass_hat_k([c], [n], k)[0] == pytest.approx(comb(c, k) / comb(n, k))
    with pytest.raises(InvalidInputError, match="n_draws >= k"):
        pass_hat_k([1], [2], 3)


def test_variance_is_split_into_item_run_and_setting() -> None:
    rng = np.random.default_rng(4)
    item, setting = rng.normal(0, 2, 400), {"fp32": 0.5, "bf16": -0.5}
    parts = [
        long("a", item[:, None] + shift + rng.normal(0, 1, (400, 4)), precision=name) for name, shift in setting.items()
    ]
    row = summarise_systems(pd.concat(parts)).iloc[0]
    assert row["item_sd"] == pytest.approx(2, abs=0.2)
    assert row["precision_sd"] == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert row["run_sd"] == pytest.approx(1, abs=0.05)  # within a setting
    plain = summarise_systems(parts[0]).iloc[0]
    assert plain["run_sd"] == pytest.approx(1, abs=0.05)
    assert plain["luck"] == pytest.approx(1.96 * np.sqrt(2 / 4 / 400), rel=0.05)


def test_other_items_are_told_apart() -> None:
    rng = np.random.default_rng(5)
    a = long("a", rng.random((30, 2)) < 0.5)
    b = long("b", rng.random((30, 2)) < 0.5).assign(item=lambda t: t["item"] + 10)
    row = one(a, b)
    assert (row["n_items"], row["n_only_a"], row["n_only_b"]) == (20, 10, 10)
    with pytest.raises(InvalidInputError, match="share no item"):
        one(a, b.assign(item=b["item"] + 100))


def test_one_item_decides_nothing() -> None:
    row = one(long("a", np.ones((1, 5))), long("b", np.zeros((1, 5))))
    assert row["verdict"] == "undecided"
    assert np.isnan(row["ci_lower"])
    assert "says nothing of the next" in sentence(row.to_dict())


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_all_right_and_all_wrong_leave_room_for_rare_items(score: float) -> None:
    row = one(long("a", np.full((50, 1), score)), long("b", np.full((50, 1), score)))
    assert row["verdict"] == "undecided"  # 50 equal items cannot exclude 2 % of others
    assert row["ci_upper"] == pytest.approx(1 - 0.025 ** (1 / 50))
    many = one(long("a", np.full((500, 1), score)), long("b", np.full((500, 1), score)))
    assert many["verdict"] == "equal"


def test_five_discordant_items_are_no_proof() -> None:
    # The t test says p = .025 here, McNemar's exact test .0625.
    a = np.zeros((500, 1))
    a[:5] = 1
    row = one(long("a", a), long("b", np.zeros((500, 1))))
    assert row["verdict"] != "a better"
    assert row["ci_lower"] <= 0  # the interval says so too


@pytest.mark.slow
def test_identical_systems_are_rarely_called_better() -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(60):
        rate = rng.beta(0.5, 0.5, 60)
        pair = [long(name, rng.random((60, 1)) < rate[:, None]) for name in "ab"]
        found.append(one(*pair)["verdict"] in ("a better", "b better"))
    assert np.mean(found) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)


def test_a_single_system_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="two systems"):
        compare_systems(long("a", np.ones((3, 1))))


def test_aggregates_against_scipy_and_by_hand() -> None:
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(5, 12))
    value, lower, upper = interquartile_mean(scores)
    assert value == pytest.approx(stats.trim_mean(scores.ravel(), 0.25))
    assert lower < value < upper
    assert interquartile_mean(scores) == (value, lower, upper)
    assert np.isnan(interquartile_mean(scores[:1])[1])
    with pytest.raises(InvalidInputError, match="finite matrix"):
        interquartile_mean(scores[0])
