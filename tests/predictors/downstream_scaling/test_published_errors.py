"""Published tables, recomputed by the project's own metrics."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.metrics import evaluate
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


def judged(actual: dict[str, float], forecast: dict[str, float]) -> pd.Series:
    """Mean absolute error in points of all and of each task, through the Evaluation table."""
    tasks = list(actual)
    outcomes = pd.DataFrame({"cell_id": tasks, "query_id": tasks, "replicate": 0, "benchmark": tasks,
                             "value": [100 * actual[t] for t in tasks]})  # fmt: skip
    quantiles = pd.DataFrame({0.5: [100 * forecast[t] for t in tasks]}, index=pd.Index(tasks, name="cell_id"))
    table = evaluate(outcomes, quantiles, predictor="published", family="downstream_scaling", dataset="olmo-ladder",
                     split="13B", metrics=("mae",), segments=("benchmark",))  # fmt: skip
    return table.set_index("segment")["value"]


@pytest.mark.parametrize(("variant", "mean"), [("two_step", 4.17), ("compute", 3.54)])
def test_olmo_ladder_errors_follow_from_its_own_figures(variant: str, mean: float) -> None:
    figures = golden("olmo_ladder_errors")
    found = judged(figures["actual"], figures[variant])
    for task, printed in figures.get(f"{variant}_relative", {}).items():
        relative = found[f"benchmark={task}"] / 100 / figures["actual"][task]
        assert relative == pytest.approx(printed, abs=1e-7)
    assert found["all"] == pytest.approx(mean, abs=0.02)


def test_cod_table_averages_follow_from_its_own_errors() -> None:
    table = golden("cod_table1")
    for method, errors in table["errors"].items():
        zero = {str(i): 0.0 for i in range(len(errors))}
        found = judged(zero, {str(i): error / 100 for i, error in enumerate(errors)})
        assert found["all"] == pytest.approx(table["printed_mean"][method], abs=table["tolerance"])
        assert max(errors) == table["printed_max"][method]


def test_cod_s_lead_over_the_direct_law_is_what_the_paper_prints_and_not_beyond_chance() -> None:
    table = golden("cod_table1")
    gain = np.subtract(table["errors"]["exponential"], table["errors"]["cod"])
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    assert gain.mean() == pytest.approx(1.54, abs=0.01)
    # Eight benchmarks: a t interval of the paired difference touches 0.
    assert gain.mean() - 2.365 * error < 0.1
