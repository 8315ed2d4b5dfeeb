"""Reports of many models: what is told adds up, and only some are compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.assets.reports import runs as of_runs
from foretell.assets.reports import spec
from foretell.assets.reports.eval_comparisons import compare_landed
from foretell.assets.reports.runs import compared, listed, pooled
from foretell.assets.reports.thinking_share import thinking_share_report
from foretell.predictors.metrics import segments


def runs_of(counts: dict[str, int], benchmark: str = "chat") -> pd.DataFrame:
    models = [model for model, n in counts.items() for _ in range(n)]
    return pd.DataFrame({"benchmark": benchmark, "model": models, "tokens": 1.0})


def test_groups_beyond_the_bound_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, reasons = runs_of({"c": 2, "a": 3, "b": 2, "d": 1}), []
    assert pooled(runs, ["benchmark", "model"], reasons) is runs
    assert not reasons
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 2)
    monkeypatch.setattr(of_runs, "MOST_SEGMENTS", 2)
    told = pooled(runs, ["benchmark", "model"], reasons)
    sums = told.groupby(["benchmark", "model"])["tokens"].sum()
    assert sums.to_dict() == {("chat", "a"): 3, ("chat", "b"): 2, ("(others)", "(others)"): 3}
    assert reasons == ["Of 4 groups by benchmark, model the 2 with most runs are told; the other 2, with 3 of 8 runs, "
                       "are (others)."]  # fmt: skip


def test_a_model_of_that_name_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 1)
    told = pooled(runs_of({"(others)": 2, "a": 1}), ["model"], [])
    assert told["model"].tolist() == ["(others)", "(others)", "((others))"]


def test_models_of_most_runs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, reasons = pd.concat([runs_of({"c": 2, "a": 3, "b": 2}), runs_of({"z": 1}, "code")], ignore_index=True), []
    assert compared(runs, reasons) is runs
    monkeypatch.setattr(of_runs, "MOST_COMPARED", 2)
    assert compared(runs, reasons)["model"].tolist() == ["a"] * 3 + ["b"] * 2 + ["z"]
    assert "1 of 4 pairs of benchmark and model are left out" in reasons[0]
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 1)
    assert set(compared(runs, [])["benchmark"]) == {"chat"}


def test_shares_of_the_others_are_those_of_their_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 1)
    monkeypatch.setattr(of_runs, "MOST_SEGMENTS", 1)
    n = 12
    traces = pd.DataFrame({
        "source": "s", "request_id": [f"r{i}" for i in range(n)], "query_id": [f"q{i}" for i in range(n)],
        "benchmark": "chat", "model": ["a"] * 6 + ["b"] * 4 + ["c"] * 2, "provider": None, "service_tier": None,
        "started_at": pd.date_range("2026-01-01", periods=n, tz="UTC"), "input_tokens": 10.0,
        "output_tokens": np.full(n, 100.0), "reasoning_tokens": [50.0] * 6 + [20.0] * 4 + [80.0] * 2,
    }).astype({"provider": "str", "service_tier": "str"})  # fmt: skip
    made = thinking_share_report(traces)
    shares = made.table.set_index("model")["share_of_output"]
    assert shares.to_dict() == pytest.approx({"a": 0.5, "(others)": (4 * 20 + 2 * 80) / 600})
    assert made.table["n_queries"].sum() == n


def test_sentences_are_bounded() -> None:
    assert listed([f"m{i}" for i in range(25)]).endswith("m19 and 5 more")
    assert listed(["a", "b"]) == "a, b"
    lines = tuple(map(str, range(spec.MOST_LINES + 3)))
    assert spec._first(lines) == (*lines[: spec.MOST_LINES], "And 3 more of this kind; see the table.")
    assert spec._first(lines[:5]) == lines[:5]


def test_the_newest_tasks_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ("s", task, "acc", "none", f"{task}{run}", f"m{run}", str(item), 0, float((item + run) % 2), True, day)
        for task, day in (("old", "2026-01-01"), ("new", "2026-01-02"))
        for run in range(2)
        for item in range(8)
    ]
    names = ["source", "benchmark", "metric", "filter", "run_id", "model", "item_id", "replicate", "score",
             "higher_is_better", "started_at"]  # fmt: skip
    runs = pd.DataFrame(rows, columns=names)
    runs["started_at"] = pd.to_datetime(runs["started_at"], utc=True)
    both, _ = compare_landed(runs)
    monkeypatch.setattr("foretell.assets.reports.eval_comparisons.MOST_TASKS", 1)
    table, verdicts = compare_landed(runs)
    pd.testing.assert_frame_equal(table, both[both["benchmark"] == "new"].reset_index(drop=True))
    assert verdicts[0] == "1 tasks that ended before the 1 newest are not compared"
