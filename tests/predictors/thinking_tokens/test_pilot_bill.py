"""The bill from a pilot: totals, order of models, budget, tail and cost of a pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.errors import InsufficientReplicatesError
from foretell.predictors.metrics.estimates.survey import estimate_total
from foretell.predictors.thinking_tokens.bill.pilot import bill_from_pilot


def make_runs(
    *, n: int = 20, n_units: int = 400, ratio: float = 1.5, spread: float = 0.3, hardness: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """A pilot of two models on the same requests, the second `ratio` times as dear."""
    rng = np.random.default_rng(seed)
    hard = rng.lognormal(sigma=hardness, size=n)
    parts = []
    for model, level in (("one", 1.0), ("two", ratio)):
        tokens = 500 * level * hard * np.exp(spread * rng.normal(size=n))
        parts.append(
            pd.DataFrame(
                {
                    "request": np.arange(n), "model": model, "probability": n / n_units, "n_units": n_units,
                    "forecast_tokens": hard, "forecast_usd": hard, "forecast_total_tokens": n_units * 1.6,
                    "forecast_total_usd": n_units * 1.6, "output_tokens": tokens, "usd": tokens * 1e-5,
                    "max_tokens": 50_000, "finish_reason": "stop",
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_the_bill_is_the_estimate_of_the_design() -> None:
    runs = make_runs()
    bill = bill_from_pilot(runs, budget_usd=1.0).totals.set_index("model")
    part = runs[runs["model"] == "one"]
    expected = estimate_total(
        part["usd"], part["probability"], 400, forecast=part["forecast_usd"], forecast_total=640.0
    )
    row = bill.loc["one"]
    shown = [row["usd_median"], row["usd_lower_90"], row["usd_upper_90"]]
    assert shown == pytest.approx([expected.total, *expected.interval()])
    assert row["probability_over_budget"] == pytest.approx(expected.probability_above(1.0))
    assert row["tokens_median"] == pytest.approx(row["usd_median"] * 1e5)
    assert row["next_half_width"] < row["half_width"]


def test_the_dearer_of_two_models_is_told_from_pairs_and_equal_ones_stay_open() -> None:
    decided = bill_from_pilot(make_runs(ratio=1.5, spread=0.1)).order.iloc[0]
    assert decided["probability_first_cheaper"] > 0.975
    assert decided["ratio_lower_90"] < 1 / 1.5 < decided["ratio_upper_90"]
    chances = [bill_from_pilot(make_runs(ratio=1.0, seed=k)).order["probability_first_cheaper"][0] for k in range(20)]
    assert sum(0.025 < chance < 0.975 for chance in chances) >= 17  # one in twenty is to err


def test_draws_without_an_answer_are_stood_for_by_the_others() -> None:
    runs = make_runs()
    lost = runs.assign(output_tokens=runs["output_tokens"].where(runs["request"] >= 4))
    row = bill_from_pilot(lost).totals.iloc[0]
    assert (row["n_answered"], row["n_drawn"]) == (16, 20)
    assert row["tokens_median"] == pytest.approx(bill_from_pilot(runs).totals.iloc[0]["tokens_median"], rel=0.3)


def test_one_runaway_says_that_the_tail_decides_and_a_cap_that_would_settle_it() -> None:
    runs = make_runs(spread=0.2, hardness=0.3)
    calm = bill_from_pilot(runs).totals.iloc[0]
    runs.loc[3, ["output_tokens", "usd"]] = 45_000, 0.45
    wild = bill_from_pilot(runs).totals.iloc[0]
    assert not calm["tail_decides"]
    assert wild["tail_decides"]
    assert 500 < wild["tail_max_tokens"] < 50_000
    assert wild["tail_n"] > 20


def test_a_pass_costs_the_bill_over_the_passes() -> None:
    runs = make_runs().assign(score=lambda runs: (runs["request"] % 2).astype(float))
    row = bill_from_pilot(runs).totals.iloc[0]
    assert row["pass_rate"] == pytest.approx(0.5)
    assert row["usd_per_pass"] == pytest.approx(row["usd_median"] / 200)
    assert row["usd_per_pass_lower_90"] < row["usd_per_pass"] < row["usd_per_pass_upper_90"]
    never = bill_from_pilot(runs.assign(score=0.0)).totals.iloc[0]
    assert (never["pass_rate"], never["usd_per_pass"]) == (0.0, np.inf)


def test_without_prices_the_bill_is_in_tokens_and_two_answers_are_too_few() -> None:
    row = bill_from_pilot(make_runs().assign(usd=np.nan)).totals.iloc[0]
    assert np.isnan(row["usd_median"])
    assert row["tokens_upper_90"] > row["tokens_median"]
    runs = make_runs()
    with pytest.raises(InsufficientReplicatesError, match="one: a bill needs 3 answers at least, got 2"):
        bill_from_pilot(runs.assign(output_tokens=runs["output_tokens"].where(runs["request"] < 2)))
