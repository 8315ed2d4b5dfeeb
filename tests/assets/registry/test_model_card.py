"""The card of a version: short, however many segments there are."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.assets.families import get_family
from foretell.assets.registry import model_card
from foretell.predictors.metrics import evaluate


def test_a_card_says_how_many_errors_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = pd.DataFrame({"cell_id": range(8), "query_id": range(8), "value": 1.0, "model": list("aabbccdd")})
    forecast = pd.DataFrame([[0.5, 1.0, 1.5]] * 8, columns=[0.05, 0.5, 0.95])
    names = {"predictor": "P", "family": get_family("success").name, "dataset": "d", "split": "test"}
    table = evaluate(outcomes, forecast, **names, metrics=["crps"], segments=["model"])
    assert [line for line in model_card._errors(table) if "more rows" in line] == []
    monkeypatch.setattr(model_card, "MOST_ROWS", 2)
    errors = "\n".join(model_card._errors(table))
    assert "model=a" in errors
    assert "model=d" not in errors
    assert "3 more rows stand in the evaluation of the version's run." in errors
