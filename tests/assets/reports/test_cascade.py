"""Cascades after the answer: better than deciding before where answers tell, and values from logs of single answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretell.assets.reports.cascade import cascade_report
from foretell.predictors.thinking_tokens.bill.routing import value_from_log
from tests.assets.report_traces import make_traces, price_file


def test_a_cascade_asks_again_where_the_answer_says_that_it_is_wrong(tmp_path: Path) -> None:
    traces = make_traces(500)
    # Whether the cheap model knows is a coin that no text tells, but it thinks three times as long where it does not.
    coin = traces["query_id"].map(lambda name: hash_of(name) % 2 == 0).to_numpy()
    cheap = (traces["model"] == "listed-low").to_numpy()
    traces["score"] = np.where(cheap, coin, traces["model"] == "dear").astype(float)
    longer = np.where(cheap & ~coin, 3, 1)
    traces["output_tokens"], traces["reasoning_tokens"] = (
        (traces[name] * longer).astype("Int64") for name in ("output_tokens", "reasoning_tokens")
    )
    report = cascade_report(traces, price_file(tmp_path))
    table = report.table
    cascades = table[table["policy"].str.startswith("cascade")].reset_index(drop=True)
    routed = table[table["policy"] == "router"].reset_index(drop=True)
    oracle = table[table["policy"] == "oracle"].iloc[0]
    assert len(cascades) == len(routed) > 0
    assert (cascades["quality"] - routed["quality"]).max() > 0.1
    assert (cascades["quality"] <= oracle["quality"] + 1e-9).all()
    assert "against deciding before asking" in report.findings[0]


def test_log_probabilities_are_looked_at_where_they_are_known_and_the_report_says_what_they_were_worth(
    tmp_path: Path,
) -> None:
    traces = make_traces(500)
    coin = traces["query_id"].map(lambda name: hash_of(name) % 2 == 0).to_numpy()
    cheap = (traces["model"] == "listed-low").to_numpy()
    traces["score"] = np.where(cheap, coin, traces["model"] == "dear").astype(float)
    told = cheap & (np.arange(len(traces)) % 4 != 0)  # three quarters of its answers say how likely they were
    traces["answer_logprob"] = np.where(told, np.where(coin, -0.1, -0.9), np.nan)
    report = cascade_report(traces, price_file(tmp_path))
    budgets = report.table[report.table["policy"].str.startswith("cascade")]
    is_unaware = budgets["policy"] == "cascade without log probabilities"
    aware, unaware = (part.set_index("budget_usd_per_query")["quality"] for _, part in budgets.groupby(is_unaware))
    assert (aware - unaware).max() > 0.05
    assert len(aware) == len(unaware)
    assert any("Log probabilities, told by" in line and "worth +0." in line for line in report.findings)
    assert not any("logprobs" in line for line in report.reasons)
    silent = cascade_report(traces.assign(answer_logprob=np.nan), price_file(tmp_path))
    assert any("No answer tells its log probabilities" in line for line in silent.reasons)
    assert not silent.table["policy"].str.contains("without log").any()


def hash_of(name: str) -> int:
    return int(name.strip("q") or 0) * 2654435761 >> 7


def test_a_log_of_single_answers_gives_the_value_of_other_policies() -> None:
    # Who was asked depended on the kind of query; the forecast is wrong, the propensity is right.
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(200):
        kind = rng.integers(0, 2, 400)
        propensity = np.where(kind[:, None] == 0, [0.8, 0.2], [0.3, 0.7])
        logged = (rng.random(400) < propensity[:, 1]).astype(np.intp)
        right = (rng.random(400) < np.where(logged == 1, 0.7, 0.3 + 0.2 * kind)).astype(float)
        found = value_from_log(np.ones(400, dtype=np.intp), logged, right, np.full((400, 2), 0.2), propensity)
        values.append(found.value)
        errors.append(found.standard_error)
    assert np.mean(values) == pytest.approx(0.7, abs=4 * np.std(values) / np.sqrt(200))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)
    assert found.least_propensity == 0.2
    assert 50 < found.effective_queries < 200


def test_where_one_model_answered_each_query_the_report_is_from_the_log(tmp_path: Path) -> None:
    traces = make_traces(900)
    one = traces.groupby("query_id").sample(1, random_state=0).reset_index(drop=True)
    one["score"] = (one["model"] == "dear").astype(float)
    report = cascade_report(one, price_file(tmp_path))
    table = report.table.set_index("policy")
    assert table.loc["always dear", "quality"] == pytest.approx(1.0, abs=0.05)
    assert table.loc["always listed-low", "quality"] == pytest.approx(0.0, abs=0.05)
    assert table.loc["as logged", "least_propensity"] == 1.0
    assert any("doubly robust" in line for line in report.reasons)
