"""Of many models a check warns of those of most rows one by one, and of the others together."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.assets.lake.traces import warnings
from foretell.assets.lake.traces.warnings import OTHERS, trace_warnings


def traces_of(models: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A request of each model, in order, none of which has a price."""
    n = len(models)
    traces = pd.DataFrame({
        "model": list(models), "query_id": [f"q{i}" for i in range(n)], "is_censored": False,
        "started_at": pd.date_range("2026-01-01", periods=n, tz="UTC"), "input_tokens": 10,
        "output_tokens": range(1, n + 1),
        "reasoning_tokens": 0, "cost_usd": float("nan"), "cost_reported_usd": float("nan"),
    })  # fmt: skip
    raw = pd.DataFrame({"prompt_text": "x", "item_id": None, "query_id_was_null": False,
                        "total_tokens": traces["input_tokens"] + traces["output_tokens"],
                        "input_tokens": 10, "output_tokens": traces["output_tokens"]})  # fmt: skip
    return traces, raw


def test_the_others_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = traces_of("dcacbcaeb")
    every = trace_warnings(*tables)
    monkeypatch.setattr(warnings, "MOST_MODELS", 2)
    told = trace_warnings(*tables)
    unpriced = told[told["check"] == "unpriced"].set_index("model")
    assert unpriced["n_rows"].to_dict() == {"a": 2, "c": 3, OTHERS: 4}
    assert unpriced["share"].to_dict() == {"a": 1.0, "c": 1.0, OTHERS: 1.0}
    assert unpriced.loc[OTHERS, "message"].startswith("3 models: no price is known")
    sums = told.groupby("check")["n_rows"].sum()
    pd.testing.assert_series_equal(sums, every.groupby("check")["n_rows"].sum())
