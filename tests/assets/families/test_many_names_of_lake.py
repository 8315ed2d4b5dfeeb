"""Of many benchmarks or models of the lake those of most rows, or of most compute, are learnt from."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.assets.families import many_names
from foretell.assets.families.many_names import of_most_compute, of_most_rows


def test_rows_of_the_most_frequent_names(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    table = pd.DataFrame({"benchmark": list("ccaabbbd"), "score": range(8)})
    assert len(of_most_rows(table, "benchmark")) == 8
    assert not caplog.records
    monkeypatch.setattr(many_names, "MOST_NAMES", 2)
    assert of_most_rows(table, "benchmark")["score"].tolist() == [2, 3, 4, 5, 6]
    assert "3 of 8 rows are of a benchmark beyond the 2 with most rows" in caplog.text


def test_models_of_most_compute_of_each_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("f", "x", model, flops) for model, flops in (("a", 1.0), ("a", 5.0), ("b", 4.0), ("c", 3.0), ("d", 3.0))]
    table = pd.DataFrame([*rows, ("f", "y", "a", 1.0)], columns=["family", "benchmark", "model", "train_flops"])
    table = table.assign(source="s")
    assert len(of_most_compute(table)) == 6
    monkeypatch.setattr(many_names, "MOST_OF_LADDER", 3)
    assert of_most_compute(table)[["benchmark", "model"]].agg("".join, axis=1).tolist() == [
        "xa",
        "xa",
        "xb",
        "xc",
        "ya",
    ]
