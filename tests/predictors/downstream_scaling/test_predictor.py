"""The predictor: the family contract, bad input, doubt and what it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from foretell.predictors.base import BasePredictor, load_predictor
from foretell.predictors.downstream_scaling.abstention import MOST_ERROR
from foretell.predictors.downstream_scaling.baselines import (
    CodBaseline,
    DirectExponentialBaseline,
    LastValueBaseline,
)
from foretell.predictors.downstream_scaling.predictor import DownstreamScalingPredictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.serving import forecast_frame
from tests.predictors.downstream_scaling.synthetic_ladders import INPUTS, make_ladders

LADDERS = make_ladders(40, seed=0)
X = LADDERS[INPUTS]


def fitted(predictor: BasePredictor | None = None) -> BasePredictor:
    return (predictor or DownstreamScalingPredictor()).fit(X, LADDERS["value"], groups=LADDERS["query_id"])


@pytest.fixture(scope="module")
def predictor() -> BasePredictor:
    return fitted()


def one(**changes: Any) -> pd.DataFrame:
    row = {
        "target_flops": 1e22, "chance_score": 0.0, "n_items": 1000.0,
        "ladder_flops": [1e18, 1e19, 1e20, 1e21], "ladder_scores": [10.0, 20.0, 32.0, 45.0],
    }  # fmt: skip
    return pd.DataFrame([{**row, **changes}])


@pytest.mark.parametrize("cls", [DirectExponentialBaseline, LastValueBaseline, CodBaseline])
def test_baselines_hold_the_contract(cls: type[BasePredictor], tmp_path: Path) -> None:
    baseline = fitted(cls())
    quantiles = baseline.predict_quantiles(X, (0.001, 0.1, 0.5, 0.9, 0.999))
    assert ((quantiles >= 0) & (quantiles <= 100)).all(axis=None)
    assert (np.diff(quantiles.to_numpy(), axis=1) >= 0).all()
    alone = baseline.predict_quantiles(X.iloc[7:8], (0.5,))
    np.testing.assert_allclose(alone[0.5], quantiles[0.5].iloc[7:8], rtol=1e-12)
    again = load_predictor(baseline.save(tmp_path / "b"))
    pd.testing.assert_frame_equal(again.predict_quantiles(X), baseline.predict_quantiles(X), check_exact=True)


def test_a_forecast_does_not_depend_on_the_other_rows(predictor: BasePredictor) -> None:
    many = predictor.predict_quantiles(X, (0.05, 0.5, 0.95))
    for row in (0, 3, 17):
        alone = predictor.predict_quantiles(X.iloc[row : row + 1], (0.05, 0.5, 0.95))
        np.testing.assert_allclose(alone.to_numpy(), many.iloc[row : row + 1].to_numpy(), rtol=1e-12)


def test_save_and_load_change_no_number(predictor: BasePredictor, tmp_path: Path) -> None:
    loaded = load_predictor(predictor.save(tmp_path / "p"))
    pd.testing.assert_frame_equal(loaded.predict_quantiles(X), predictor.predict_quantiles(X), check_exact=True)


def test_parameters_are_assigned_and_nothing_else() -> None:
    predictor = DownstreamScalingPredictor()
    assert vars(predictor) == predictor.get_params(deep=False)
    assert clone(predictor).get_params() == predictor.get_params()


def test_a_known_law_is_forecast_better_than_by_the_last_value(predictor: BasePredictor) -> None:
    new = make_ladders(60, seed=7)
    inputs = new[INPUTS]
    own = (predictor.predict(inputs) - new["truth"]).abs().mean()
    last = (fitted(LastValueBaseline()).predict(inputs) - new["truth"]).abs().mean()
    assert own < 0.5 * last


def test_intervals_hold_what_they_promise_on_new_ladders(predictor: BasePredictor) -> None:
    new = make_ladders(150, seed=11)
    interval = predictor.predict_interval(new[INPUTS], 0.9)
    covered = new["value"].between(interval["lower"], interval["upper"]).mean()
    # 150 independent ladders: four standard errors of a coverage of .9 are .098.
    assert 0.80 <= covered <= 1.0


def test_the_order_of_the_measured_models_does_not_matter(predictor: BasePredictor) -> None:
    turned = X.copy()
    for name in [c for c in X if c.startswith("ladder_")]:
        turned[name] = [values[::-1] for values in X[name]]
    np.testing.assert_allclose(predictor.predict(turned), predictor.predict(X), rtol=1e-9)


def test_defaults_need_no_past_forecast() -> None:
    predictor = DownstreamScalingPredictor.with_defaults()
    interval = predictor.predict_interval(one(), 0.9).iloc[0]
    assert 40 < predictor.predict(one()).iloc[0] < 80
    assert 0 <= interval["lower"] < interval["upper"] <= 100


def test_compute_may_be_given_as_size_and_data() -> None:
    predictor = DownstreamScalingPredictor.with_defaults()
    by_size = one(
        target_flops=None, target_params=1e10, target_tokens=1e22 / 6e10, ladder_flops=None,
        ladder_params=[1e8, 2e8, 1e9, 2e9], ladder_tokens=[1e18 / 6e8, 1e19 / 12e8, 1e20 / 6e9, 1e21 / 12e9],
    )  # fmt: skip
    assert 40 < predictor.predict(by_size).iloc[0] < 80


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_models_are_forecast_by_the_pace_of_other_ladders(predictor: BasePredictor, n: int) -> None:
    few = one(ladder_flops=[1e18, 1e19][:n], ladder_scores=[10.0, 20.0][:n], target_flops=1e20)
    interval = predictor.predict_interval(few, 0.9).iloc[0]
    extra = predictor.extra_columns(few, pd.DataFrame()).iloc[0]
    assert predictor.predict(few).iloc[0] > [10.0, 20.0][n - 1] + 1
    assert interval["upper"] - interval["lower"] > 8
    assert "compute level" in extra["reason"]


def test_what_abstains_is_what_is_expected_to_be_far_off(predictor: BasePredictor) -> None:
    new = make_ladders(120, seed=5, noise=4.0)
    extra = predictor.extra_columns(new[INPUTS], pd.DataFrame())
    assert (extra["abstain"] == (extra["expected_error"] >= MOST_ERROR)).all()
    error = (predictor.predict(new[INPUTS]) - new["value"]).abs()
    assert error[extra["expected_error"] > extra["expected_error"].median()].mean() > error.mean()


def test_a_longer_training_of_a_smaller_model_is_no_fall() -> None:
    sizes = {"ladder_params": [1e8, 1e9, 1e8, 2e9], "ladder_tokens": [2e9, 2e10, 6e11, 4e11], "ladder_flops": None}
    predictor = DownstreamScalingPredictor.with_defaults()
    # The third had more compute than the second, at a tenth of its size: 20 points less is no sign of anything.
    longer = one(**sizes, ladder_scores=[10.0, 50.0, 30.0, 60.0], target_params=1e10, target_tokens=2e12)
    assert predictor.extra_columns(longer, pd.DataFrame())["is_monotone"].all()
    larger = {**sizes, "ladder_params": [1e8, 1e9, 1e9, 2e9]}
    fell = one(**larger, ladder_scores=[10.0, 50.0, 30.0, 60.0], target_params=1e10, target_tokens=2e12)
    extra = predictor.extra_columns(fell, pd.DataFrame()).iloc[0]
    assert not extra["is_monotone"]
    assert "not monotone: the score falls by 20.0 points" in extra["reason"]


def test_few_families_leave_the_defaults_and_more_learn_the_spread_alone() -> None:
    defaults = DownstreamScalingPredictor.with_defaults()
    few = DownstreamScalingPredictor().fit(X, LADDERS["value"], groups=LADDERS["query_id"].isin(["task 1"]).astype(str))
    pd.testing.assert_frame_equal(few.predict_quantiles(X), defaults.predict_quantiles(X), check_exact=True)
    # Outcomes that no law knows: the medians stay where they were, the intervals say how far off they are.
    rng = np.random.default_rng(0)
    luck = pd.Series(rng.uniform(0, 100, len(X)), index=X.index)
    fit = DownstreamScalingPredictor().fit(X, luck, groups=LADDERS["query_id"])
    np.testing.assert_allclose(fit.predict(X), defaults.predict(X), atol=1e-9)
    learnt, untrained = (np.ptp(p.predict_interval(X, 0.9), axis=1).mean() for p in (fit, defaults))
    assert learnt > 1.5 * untrained


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ladder_scores": [0.0, 0.0, 0.0, 0.0]}, "no model is above chance"),
        ({"ladder_scores": [24.0, 22.0, 23.5, 25.5], "chance_score": 25.0}, "no model is above chance"),
        ({"ladder_scores": [10.0, 60.0, 30.0, 45.0]}, "not monotone"),
        ({"ladder_scores": [1.0, 1.0, 2.0, 60.0]}, "last one or two sizes"),
        ({"target_flops": 1e36}, "farther above the ladder"),
    ],
)
def test_doubtful_ladders_are_forecast_and_their_doubts_said(
    predictor: BasePredictor, changes: dict[str, Any], words: str
) -> None:
    row = one(**changes)
    quantiles = predictor.predict_quantiles(row)
    assert np.isfinite(quantiles.to_numpy()).all()
    assert words in predictor.extra_columns(row, quantiles).iloc[0]["reason"]


def test_a_sound_ladder_is_not_flagged(predictor: BasePredictor) -> None:
    extra = predictor.extra_columns(one(), pd.DataFrame()).iloc[0]
    assert not extra["abstain"]
    assert extra["reason"] == ""
    assert extra["is_monotone"]


def test_items_tell_the_predictable_ratio(predictor: BasePredictor) -> None:
    rates = [[0.1, 0.1] * 20, [0.2, 0.2] * 20, [0.32, 0.32] * 20, [0.45, 0.45] * 20]
    with_items = predictor.extra_columns(one(item_pass_rates=rates), pd.DataFrame())
    assert with_items["predictable_ratio"][0] == 1.0
    assert 0 < with_items["cod_weight"][0] < 1
    assert predictor.extra_columns(one(), pd.DataFrame())["cod_weight"][0] == 0
    assert np.isnan(predictor.extra_columns(one(), pd.DataFrame())["predictable_ratio"][0])
    gaps = predictor.extra_columns(one(item_pass_rates=[rates[0], None, rates[2], rates[3]]), pd.DataFrame())
    assert np.isnan(gaps["predictable_ratio"][0])


def test_missing_errors_and_entries_are_left_out(predictor: BasePredictor) -> None:
    row = one(ladder_errors=[None, 1.0, 1.0, 1.0])
    assert np.isfinite(predictor.predict(row)).all()
    unmeasured = one(ladder_flops=[1e18, 1e19, 1e20, 1e21, None], ladder_scores=[10.0, 20.0, 32.0, 45.0, 90.0])
    np.testing.assert_allclose(predictor.predict(unmeasured), predictor.predict(one()))


def test_large_integers_are_taken_as_floats(predictor: BasePredictor) -> None:
    ints = one(ladder_flops=[10**24, 10**25, 10**26, 10**27], target_flops=1e28)
    floats = one(ladder_flops=[1e24, 1e25, 1e26, 1e27], target_flops=1e28)
    np.testing.assert_allclose(predictor.predict(ints), predictor.predict(floats))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ladder_flops": [1e18, 1e19, 1e20, -8446744073709551616]}, "int64 that overflowed"),
        ({"ladder_flops": [1e18, 1e19, 1e20]}, "has 3 entries"),
        ({"ladder_scores": [10.0, 20.0, 32.0, 450.0]}, "points in 0-100"),
        ({"ladder_scores": []}, "is empty"),
        ({"ladder_flops": 5.0}, "must be a list"),
        ({"ladder_runs": 5}, "must be a list"),
        ({"ladder_scores": ["a", "b", "c", "d"]}, "list of numbers"),
        ({"target_flops": None}, "give `target_flops`"),
        ({"target_flops": -1.0}, "must be positive"),
        ({"chance_score": 60.0, "upper_score": 50.0}, "must be below"),
        ({"item_pass_rates": [[0.5], [0.5, 0.5], [0.5], [0.5]]}, "differ in length"),
    ],
)
def test_bad_rows_are_named_with_a_remedy(predictor: BasePredictor, changes: dict[str, Any], words: str) -> None:
    row = one(**changes)
    row.index = ["third"]
    with pytest.raises(InvalidInputError, match="third") as caught:
        predictor.predict(row)
    assert words in str(caught.value)


def test_a_score_is_no_lower_bound_and_no_fraction_beyond_100() -> None:
    with pytest.raises(InvalidInputError, match="is_censored"):
        DownstreamScalingPredictor().fit(X, LADDERS["value"], is_censored=pd.Series([True, *[False] * (len(X) - 1)]))
    with pytest.raises(InvalidInputError, match="points"):
        DownstreamScalingPredictor().fit(X, LADDERS["value"] + 100)


def test_unknown_candidates_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="candidates"):
        DownstreamScalingPredictor.with_defaults(candidates=("magic",))


@settings(max_examples=12, deadline=None)
@given(
    scores=st.lists(st.floats(0, 100), min_size=1, max_size=9),
    chance=st.sampled_from([0.0, 25.0, 50.0]),
    reach=st.floats(0.01, 1e6),
)
def test_any_ladder_gets_finite_bounded_quantiles(scores: list[float], chance: float, reach: float) -> None:
    predictor = DownstreamScalingPredictor.with_defaults()
    flops = np.geomspace(1e17, 1e21, len(scores))
    row = one(
        ladder_flops=flops.tolist(), ladder_scores=scores, chance_score=chance, target_flops=float(flops[-1] * reach),
        upper_score=100.0,
    )  # fmt: skip
    quantiles = predictor.predict_quantiles(row, (0.001, 0.05, 0.5, 0.95, 0.999)).to_numpy()
    assert np.isfinite(quantiles).all()
    assert ((quantiles >= 0) & (quantiles <= 100)).all()
    assert (np.diff(quantiles) >= 0).all()


def test_scores_that_are_shares_are_refused_unless_they_are_said_to_be_points() -> None:
    # Shares were read as points: a ladder that rises to 80 % was forecast to stay below 1 point.
    predictor = DownstreamScalingPredictor.with_defaults()
    shares = one(ladder_scores=[0.1, 0.3, 0.5, 0.8])
    with pytest.raises(InvalidInputError, match=r"look like shares \(the largest is 0\.8\).*multiply by 100"):
        predictor.predict(shares)
    with pytest.raises(InvalidInputError, match="look like shares"):
        predictor.predict(shares.assign(upper_score=1.0))
    assert predictor.predict(shares.assign(upper_score=100.0)).notna().all()
    assert predictor.predict(one(ladder_scores=[0.0, 0.0, 0.0, 0.0])).notna().all()


def test_a_measured_ladder_makes_the_benchmark_known() -> None:
    predictor = DownstreamScalingPredictor.with_defaults()
    row = one(ladder_flops=[1e18, 1e19, 1e20, 1e21], ladder_scores=[10.0, 20.0, 30.0, 40.0], target_flops=1e22)
    frame = forecast_frame(predictor, row)
    assert frame.columns.tolist()[:2] == ["known", "basis"]
    assert frame["known"].tolist() == ["benchmark"]
    assert frame["basis"].iloc[0] == (
        "4 measured models of 4 sizes by compute; the target takes 10 times the compute of the largest"
    )
    nothing = forecast_frame(predictor, row.assign(ladder_scores=[[np.nan] * 4]))
    assert nothing["known"].tolist() == ["neither"]
