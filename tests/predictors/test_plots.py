"""Figures: what is drawn where, from the Evaluation table alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from predictors import plots
from predictors.errors import InvalidInputError
from predictors.metrics import evaluate


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


def test_every_predictor_is_a_point_at_its_error_and_the_floor_a_band(evaluation: pd.DataFrame) -> None:
    ax = plots.plot_error_vs_floor(evaluation, segment="all,replicated")
    rows = evaluation[(evaluation["metric"] == "crps") & (evaluation["segment"] == "all,replicated")]
    points = next(line for line in ax.lines if "predictor" in str(line.get_label()))
    np.testing.assert_allclose(points.get_xdata(), rows["value"])
    band = next(patch for patch in ax.patches if "noise floor" in str(patch.get_label()))
    assert band.get_x() == pytest.approx(rows["floor_ci_lower"].iloc[0])
    assert band.get_x() + band.get_width() == pytest.approx(rows["floor_ci_upper"].iloc[0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Good", "Bad"]


def test_a_missing_floor_is_said_not_drawn(evaluation: pd.DataFrame) -> None:
    ax = plots.plot_error_vs_floor(evaluation)
    assert not ax.patches
    assert "not drawn at random (59 of 60 cells" in texts(ax)


def test_segments_have_their_own_floor(evaluation: pd.DataFrame) -> None:
    ax = plots.plot_error_by_segment(evaluation, predictor="Bad")
    known = evaluation[(evaluation["metric"] == "crps") & (evaluation["predictor"] == "Bad")]["noise_floor"].notna()
    assert len(ax.patches) == known.sum() == 3
    labels = plots.plot_floor_by_segment(evaluation)
    assert "repeats, 59 queries" in texts(labels)
    assert "no floor" in texts(labels)


def test_comparison_draws_gain_and_detectable_effect(evaluation: pd.DataFrame) -> None:
    ax = plots.plot_comparison(evaluation)
    rows = evaluation[(evaluation["metric"] == "crps") & (evaluation["segment"] == "all")]
    points = next(line for line in ax.lines if "gain" in str(line.get_label()))
    np.testing.assert_allclose(points.get_xdata(), rows["gain"])
    np.testing.assert_allclose([patch.get_width() for patch in ax.patches], 2 * rows["gain_mde"])
    with pytest.raises(InvalidInputError, match="baseline"):
        plots.plot_comparison(evaluation, metric="coverage_90")


def test_reliability_and_pit_draw_their_tables() -> None:
    table = pd.DataFrame({"level": [0.1, 0.9], "share": [0.2, 0.8], "ci_lower": [0.1, 0.7], "ci_upper": [0.3, 0.9]})
    ax = plots.plot_reliability(table)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.2, 0.8])
    histogram = pd.DataFrame(
        {"lower": [0.0, 0.5], "upper": [0.5, 1.0], "share": [0.6, 0.4], "ci_lower": [0.5, 0.3], "ci_upper": [0.7, 0.5]}
    )
    ax = plots.plot_pit(histogram)
    assert [patch.get_height() for patch in ax.patches] == [0.6, 0.4]
    assert plots.plot_pit(histogram, ax=ax) is ax
    with pytest.raises(InvalidInputError, match="share"):
        plots.plot_pit(histogram.drop(columns="share"))
    with pytest.raises(InvalidInputError, match="share"):
        plots.plot_reliability(table.drop(columns="share"))


def test_unknown_metric_names_the_known_ones(evaluation: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="coverage_90"):
        plots.plot_error_vs_floor(evaluation, metric="rmse")


def test_risk_coverage_is_drawn_from_the_narrowest_up_to_all(evaluation: pd.DataFrame) -> None:
    renamed = evaluation.replace(
        {"segment": {"benchmark=aime": "narrowest_20=yes", "benchmark=gpqa": "narrowest_20=no"}}
    )
    ax = plots.plot_risk_coverage(renamed, metric="mae")
    line = ax.get_lines()[0]
    own = renamed[(renamed["predictor"] == "Good") & (renamed["metric"] == "mae")].set_index("segment")["value"]
    assert list(line.get_xdata()) == [20, 100]
    assert list(line.get_ydata()) == [own["narrowest_20=yes"], own["all"]]
    with pytest.raises(InvalidInputError, match="narrowest_20"):
        plots.plot_risk_coverage(evaluation, metric="mae")
