"""Forecasts of cells without runs, and of those that anchors were given for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.bill.totals import simulate_totals, unseen_batch
from foretell.predictors.thinking_tokens.known_runs.context import FlatContext
from foretell.predictors.thinking_tokens.shift import forecast
from foretell.predictors.thinking_tokens.shift.unseen import (
    TEXT_SLOPE,
    Anchors,
    UnseenCells,
)
from tests.predictors.thinking_tokens.shift.synthetic_cells import make_source_runs

LEVELS = np.array([0.05, 0.5, 0.95])


def _fit(runs: pd.DataFrame, text: np.ndarray | None = None, censored: np.ndarray | None = None) -> UnseenCells:
    cut = np.zeros(len(runs), dtype=bool) if censored is None else censored
    y = runs["log_tokens"].to_numpy()
    return UnseenCells().fit(runs, y, cut, runs["query_id"].to_numpy(object), text)


def _anchors(runs: pd.DataFrame, text: np.ndarray | None = None, context: FlatContext | None = None) -> Anchors:
    zero = np.zeros(len(runs))
    y, query = runs["log_tokens"].to_numpy(), runs["query_id"].to_numpy(object)
    return Anchors(runs, y, zero > 0, query, zero if text is None else text, context)


def _context(rows: pd.DataFrame, runs: pd.DataFrame) -> FlatContext:
    left = rows[["query_id"]].assign(target=np.arange(len(rows)))
    pairs = left.merge(runs[["query_id", "model", "reasoning_effort", "log_tokens"]], on="query_id")
    frame = pairs[["model", "reasoning_effort"]]
    tokens, cut = np.exp(pairs["log_tokens"].to_numpy()), np.zeros(len(pairs), dtype=bool)
    return FlatContext(pairs["target"].to_numpy(np.intp), frame, tokens, cut, np.full((len(pairs), 3), np.nan))


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return make_source_runs(4, 3, 20, seed=5)


@pytest.fixture(scope="module")
def without_model(runs: pd.DataFrame) -> UnseenCells:
    return _fit(runs[runs["model"] != "deepseek-r1"])


def test_outcomes_of_sources_left_out_are_inside(runs: pd.DataFrame) -> None:
    inside = []
    for source in runs["source"].unique():
        rest = runs[runs["source"] == source]
        lower, _, upper = _fit(runs[runs["source"] != source]).forecast(rest).quantiles(LEVELS).T
        inside.append(((rest["log_tokens"] >= lower) & (rest["log_tokens"] <= upper)).mean())
    assert np.mean(inside) > 0.8


def test_known_runs_of_the_query_narrow_and_move_the_forecast(runs: pd.DataFrame, without_model: UnseenCells) -> None:
    asked = runs[runs["model"] == "deepseek-r1"]
    context = _context(asked, runs[runs["model"] != "deepseek-r1"])
    cold, warm = without_model.forecast(asked), without_model.forecast(asked, None, context)
    actual = asked["log_tokens"].to_numpy()
    assert (warm.variance < cold.variance).all()
    assert np.std(actual - warm.centre) < 0.7 * np.std(actual - cold.centre)
    np.testing.assert_allclose(warm.shared_variance, cold.shared_variance, rtol=0.2)


def test_all_anchors_count_at_once_in_any_order(runs: pd.DataFrame, without_model: UnseenCells) -> None:
    asked = runs[(runs["model"] == "deepseek-r1") & (runs["source"] == "s0")]
    anchors = asked.groupby("benchmark").head(5)
    one = without_model.adapted(_anchors(anchors))
    other = without_model.adapted(_anchors(anchors.sample(frac=1.0, random_state=0)))
    np.testing.assert_allclose(one.forecast(asked).centre, other.forecast(asked).centre, rtol=1e-8)
    np.testing.assert_allclose(one.forecast(asked).variance, other.forecast(asked).variance, rtol=1e-8)
    error = {
        name: (u.forecast(asked).centre - asked["log_tokens"]).abs().mean()
        for name, u in {"before": without_model, "after": one}.items()
    }
    assert error["after"] < error["before"]
    assert "deepseek-r1" in one.seen_.models
    assert "deepseek-r1" not in without_model.seen_.models


def test_hard_anchors_are_not_mistaken_for_a_long_winded_model(runs: pd.DataFrame, without_model: UnseenCells) -> None:
    asked = runs[(runs["model"] == "deepseek-r1") & (runs["source"] == "s1") & (runs["benchmark"] == "b0")]
    anchors = asked.nlargest(5, "query_effect")
    others = runs[runs["model"] != "deepseek-r1"]
    truth = (asked["log_tokens"] - asked["query_effect"]).mean() + asked["query_effect"].mean()
    plain = without_model.adapted(_anchors(anchors)).forecast(asked.head(1)).centre[0]
    informed = without_model.adapted(_anchors(anchors, context=_context(anchors, others))).forecast(asked.head(1))
    assert abs(informed.centre[0] - truth) < 0.3 < abs(plain - truth)


def test_an_anchor_is_no_pilot_of_its_own(runs: pd.DataFrame, without_model: UnseenCells) -> None:
    """Attached to themselves anchors were their own pilots, and then their own noise was learnt from."""
    asked = runs[(runs["model"] == "deepseek-r1") & (runs["source"] == "s0")]
    anchors = asked.head(5)
    plain = without_model.adapted(_anchors(anchors)).forecast(asked)
    attached = without_model.adapted(_anchors(anchors, context=_context(anchors, anchors))).forecast(asked)
    np.testing.assert_array_equal(plain.centre, attached.centre)
    np.testing.assert_array_equal(plain.variance, attached.variance)


def test_runs_of_other_models_on_a_new_benchmark_are_anchors_too(runs: pd.DataFrame) -> None:
    new = (runs["source"] == "s2") & (runs["benchmark"] == "b1")
    unseen = _fit(runs[~new])
    asked = runs[new & (runs["model"] == "gpt-5")]
    anchors = asked.head(3)
    others = runs[new & (runs["model"] != "gpt-5")]
    alone = unseen.adapted(_anchors(anchors))
    together = unseen.adapted(_anchors(anchors, context=_context(anchors, others)))
    cold = asked.assign(model="gpt-4o")
    assert together.forecast(cold).variance.mean() < alone.forecast(cold).variance.mean()
    assert together.seen_.describe(together.seen_.cells_of(cold)[1])[0] == ["cell"]


def test_anchors_move_a_cell_that_was_trained_on_and_no_other(runs: pd.DataFrame) -> None:
    unseen = _fit(runs)
    own = runs[(runs["model"] == "gpt-5") & (runs["source"] == "s0") & (runs["benchmark"] == "b0")].head(10)
    later = unseen.adapted(_anchors(own.assign(log_tokens=own["log_tokens"] + 2)))
    cells = later.seen_.cells_of(runs.groupby(["source", "benchmark", "model"]).head(1))[1]
    moved = later.learnt_since(cells)
    is_own = (cells[["source", "benchmark", "model"]] == ["s0", "b0", "gpt-5"]).all(axis=1).to_numpy()
    assert 0 < moved[is_own][0] < 2
    assert (moved[~is_own] == 0).all()
    assert (unseen.learnt_since(cells) == 0).all()


def test_texts_move_forecasts_about_the_mean_of_their_benchmark(runs: pd.DataFrame) -> None:
    text = 3.0 + runs["query_effect"].to_numpy()
    others = (runs["model"] != "deepseek-r1").to_numpy()
    unseen = _fit(runs[others], text[others])
    asked = runs[~others]
    cold, read = unseen.forecast(asked), unseen.forecast(asked, text[~others])
    centre = asked.groupby(["source", "benchmark"])["query_effect"].transform("mean")
    np.testing.assert_allclose(read.centre - cold.centre, TEXT_SLOPE * (asked["query_effect"] - centre), atol=1e-8)
    elsewhere = asked.assign(benchmark="new")
    np.testing.assert_array_equal(unseen.forecast(elsewhere, text[~others]).centre, unseen.forecast(elsewhere).centre)


def test_the_slope_on_the_text_is_learnt_from_anchors(runs: pd.DataFrame) -> None:
    new = ((runs["source"] == "s3") & (runs["benchmark"] == "b2")).to_numpy()
    unseen = _fit(runs[~new], np.zeros((~new).sum()))
    own = runs[new & (runs["model"] == "gpt-5")]
    against = unseen.adapted(_anchors(own, -own["query_effect"].to_numpy()))
    along = unseen.adapted(_anchors(own, own["query_effect"].to_numpy()))
    slopes = [u.lines_["s3", "b2"].slope for u in (against, along)]
    assert slopes[0] < 0.5 < TEXT_SLOPE < slopes[1]


def test_cells_that_are_often_cut_off_are_not_learnt_from(runs: pd.DataFrame) -> None:
    cut = (runs["model"] == "gpt-5").to_numpy()
    unseen = _fit(runs, censored=cut)
    assert "gpt-5" not in set(unseen.forecaster_.effects.table.cells["model"])
    assert "gpt-5" in unseen.seen_.models


def test_anchors_that_were_cut_off_count_for_more_than_their_bound(
    runs: pd.DataFrame, without_model: UnseenCells
) -> None:
    own = runs[(runs["model"] == "deepseek-r1") & (runs["source"] == "s0")].head(6)
    whole = _anchors(own)
    cut = Anchors(own, whole.log_tokens, np.ones(6, dtype=bool), whole.query, whole.text)
    assert without_model.adapted(cut).forecast(own).centre[0] > without_model.adapted(whole).forecast(own).centre[0]


def test_what_was_learnt_is_restored(runs: pd.DataFrame, without_model: UnseenCells) -> None:
    asked = runs[runs["model"] == "deepseek-r1"]
    adapted = without_model.adapted(_anchors(asked.head(4)))
    again = UnseenCells.from_state(*adapted.state())
    np.testing.assert_array_equal(again.forecast(asked).quantiles(LEVELS), adapted.forecast(asked).quantiles(LEVELS))
    assert again.seen_.n_anchors == adapted.seen_.n_anchors


def test_anchors_in_two_calls_make_a_benchmark_as_odd_as_all_of_them_do(runs: pd.DataFrame) -> None:
    others = runs[(runs["source"] != "s0") | (runs["benchmark"] != "b0")]
    odd = runs[(runs["source"] == "s0") & (runs["benchmark"] == "b0")].reset_index(drop=True)
    assert odd["model"].nunique() >= 4
    away = odd["model"].map({model: (-1) ** i * 1.0 for i, model in enumerate(sorted(odd["model"].unique()))})
    odd = odd.assign(log_tokens=odd["log_tokens"] + away)
    zero = np.zeros(len(others), dtype=bool)
    unseen = UnseenCells().fit(others, others["log_tokens"].to_numpy(), zero, others["query_id"].to_numpy(object))
    half = odd.groupby("model").cumcount() < 4
    twice = unseen.adapted(_anchors(odd[half])).adapted(_anchors(odd[~half]))
    again = UnseenCells.from_state(*twice.state())
    assert set(twice.forecaster_.effects.odd.values()) == set(again.forecaster_.effects.odd.values())
    assert max(twice.forecaster_.effects.odd.values()) > 1
    np.testing.assert_allclose(again.forecast(odd).centre, twice.forecast(odd).centre)


def test_requests_of_a_total_share_the_doubt_about_their_spread(runs: pd.DataFrame, without_model: UnseenCells) -> None:
    forecasts = without_model.forecast(runs[(runs["model"] == "deepseek-r1") & (runs["benchmark"] == "b0")])
    of_spread = {}
    for name, within in {"sure": [2.0, 2.0], "doubtful": [0.2, 3.8]}.items():
        cells = replace(forecasts.cells, within=np.tile(within, (len(forecasts.cells.within), 1)))
        batch = unseen_batch(replace(forecasts, cells=cells), np.full(len(forecasts.cell), np.inf))
        totals, _ = simulate_totals(batch)
        of_spread[name] = np.log(totals).std()
    assert of_spread["doubtful"] > 1.2 * of_spread["sure"]


def test_cells_that_were_asked_about_are_kept_as_they_were(
    runs: pd.DataFrame, without_model: UnseenCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = runs[(runs["model"] == "deepseek-r1") & (runs["source"] == "s0")].head(6)
    context = _context(asked, runs[runs["model"] != "deepseek-r1"])
    unseen = UnseenCells.from_state(*without_model.state())
    found = [unseen.forecast(asked, context=context).quantiles(LEVELS) for _ in range(2)]
    unseen.forecast(asked)
    assert len(unseen.forecaster_._asked) == 2
    np.testing.assert_array_equal(found[0], found[1])
    monkeypatch.setattr(forecast, "CELLS_OF_ASKED", 0)
    whole = UnseenCells.from_state(*without_model.state())
    np.testing.assert_array_equal(whole.forecast(asked, context=context).quantiles(LEVELS), found[0])
    assert not whole.forecaster_._asked
    for other in (asked.assign(benchmark="b1"), asked.assign(model="o1-mini"), asked.assign(reasoning_effort="none")):
        np.testing.assert_array_equal(unseen.forecast(other).centre, whole.forecast(other).centre)
    # Anchors make another forecaster, which knows none of it.
    adapted = unseen.adapted(_anchors(asked.head(3)))
    assert (adapted.forecast(asked).centre != unseen.forecast(asked).centre).all()
    np.testing.assert_array_equal(unseen.forecast(asked, context=context).quantiles(LEVELS), found[0])
