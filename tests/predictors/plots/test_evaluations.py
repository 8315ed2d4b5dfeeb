"""Figures: what is drawn where, from the Evaluation table alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from foretell.predictors.metrics import evaluate
from foretell.predictors.plots import evaluations as plots


@pytest.fixture(scope="module")
def evaluation() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    cell = np.repeat(np.arange(60), 2)
    outcomes = pd.DataFrame({"cell_id": cell, "query_id": cell, "value": rng.normal(size=120)})
    outcomes["benchmark"] = np.where(cell % 2 == 0, "aime", "gpqa")
    outcomes = outcomes[~((cell == 1) & outcomes.duplicated("cell_id"))]
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    good = pd.DataFrame([[-1.64, -0.67, 0, 0.67, 1.64]] * 60, columns=levels)
    return pd.concat(
        [
            evaluate(
                outcomes, good + shift, predictor=name, family="f", dataset="traces", split="test",
                baseline=good + 2, baseline_name="shifted", segments=["benchmark"],
            )
            for name, shift in (("Good", 0.1), ("Bad", 1.5))
        ],
        ignore_index=True,
    )  # fmt: skip


def texts(ax: Axes) -> str:
    return " ".join(text.get_text() for text in ax.texts)


def test_segments_have_a_floor_each(evaluation: pd.DataFrame) -> None:
    ax = plots.plot_error_by_segment(evaluation, predictor="Bad")
    has_floor = evaluation[(evaluation["metric"] == "crps") & (evaluation["predictor"] == "Bad")]["noise_floor"].notna()
    assert len(ax.patches) == has_floor.sum() == 3
    points = next(line for line in ax.lines if "predictor" in str(line.get_label()))
    rows = evaluation[(evaluation["metric"] == "crps") & (evaluation["predictor"] == "Bad")]
    np.testing.assert_allclose(points.get_xdata(), rows["value"])
    labels = plots.plot_floor_by_segment(evaluation)
    assert "repeats, 59 queries" in texts(labels)
    assert "no floor" in texts(labels)


def test_of_many_segments_those_of_most_queries_are_drawn(
    evaluation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "MAX_SEGMENTS", 2)
    ax = plots.plot_error_by_segment(evaluation, predictor="Good")
    rows = evaluation[(evaluation["metric"] == "crps") & (evaluation["predictor"] == "Good")]
    most = rows.sort_values("n_queries", ascending=False, kind="stable").head(2)
    assert [label.get_text() for label in ax.get_yticklabels()] == most["segment"].tolist()
    assert f"(2 of {len(rows)} segments)" in ax.get_title(loc="left") + ax.get_title()
