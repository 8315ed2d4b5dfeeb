"""Runs of one task that landed together are compared; others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretell.assets.reports.eval_comparisons import compare_landed


def runs_of(run: str, rate: float, day: str, benchmark: str = "sums", n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(len(run))
    return pd.DataFrame(
        {
            "source": "own", "run_id": run, "item_id": [f"i{k}" for k in range(n)], "replicate": 0, "metric": "acc",
            "filter": "none", "benchmark": benchmark, "model": f"m-{run}", "score": (rng.random(n) < rate) * 1.0,
            "higher_is_better": True, "started_at": pd.Timestamp(day, tz="UTC"),
        }
    )  # fmt: skip


def test_pairs_of_one_task_and_day_get_a_verdict() -> None:
    aggregate = runs_of("x", 1.0, "2026-03-01", n=1).assign(item_id="*", run_id="a")
    table, verdicts = compare_landed(
        pd.concat([
            runs_of("a", 0.9, "2026-03-01"), runs_of("bb", 0.3, "2026-03-01"), runs_of("ccc", 0.3, "2026-03-02"),
            runs_of("dddd", 0.5, "2026-03-01", "other"), aggregate,
        ])
    )  # fmt: skip
    assert table[["benchmark", "a", "b", "n_items", "verdict"]].values.tolist() == [
        ["sums", "m-a (a)", "m-bb (bb)", 120, "a better"]
    ]
    assert len(verdicts) == 1
    assert verdicts[0].startswith("sums: m-a (a) is better than m-bb (bb)")


def test_lower_is_better_is_turned_round_and_strangers_are_told() -> None:
    errors = pd.concat([runs_of("a", 0.9, "2026-03-01"), runs_of("bb", 0.3, "2026-03-01")])
    table, _ = compare_landed(errors.assign(higher_is_better=False))
    assert table["verdict"].tolist() == ["b better"]
    strange = runs_of("bb", 0.3, "2026-03-01").assign(item_id=lambda t: t["item_id"] + "x")
    table, verdicts = compare_landed(pd.concat([runs_of("a", 0.9, "2026-03-01"), strange]))
    assert table.empty
    assert "share no item" in verdicts[0]
    assert compare_landed(errors.iloc[:0])[0].empty
