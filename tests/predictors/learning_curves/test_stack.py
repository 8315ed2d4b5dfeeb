"""The stack: which head a request goes to, what siblings and the learner add, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.baselines import LastValueBaseline
from foretell.predictors.learning_curves.context import attach_siblings
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.predictor import LearningCurvePredictor
from foretell.predictors.learning_curves.prefixes import training_prefixes
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves

SMALL = {"location_rounds": 40, "scale_rounds": 15, "n_prefixes": 4}


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return make_curves(120, 0)


@pytest.fixture(scope="module")
def fitted(curves: pd.DataFrame) -> LearningCurvePredictor:
    return LearningCurvePredictor(**SMALL).fit(curves[INPUTS], curves["value"], groups=curves["dataset"])


def points_of(curves: pd.DataFrame) -> pd.DataFrame:
    """Whole curves as points: what was observed, and the end."""
    rows = [
        {"dataset": c.dataset, "learner": c.learner, "step": step, "value": value}
        for c, values in zip(curves.itertuples(), curves["values"], strict=True)
        for step, value in [*zip(c.steps, values, strict=True), (c.target_step, c.value)]
    ]
    return pd.DataFrame(rows)


def test_it_beats_the_last_value_on_new_data_sets(fitted: LearningCurvePredictor, curves: pd.DataFrame) -> None:
    new = make_curves(80, 5)
    base = LastValueBaseline().fit(curves[INPUTS], curves["value"])
    error, last = ((m.predict(new[INPUTS]) - new["value"]).abs().mean() for m in (fitted, base))
    assert error < 0.5 * last
    density, flat = (m.distribution(new[INPUTS]).log_density(new["value"]).mean() for m in (fitted, base))
    assert density > flat + 0.5
    interval = fitted.predict_interval(new[INPUTS])
    covered = ((interval["lower"] <= new["value"]) & (new["value"] <= interval["upper"])).mean()
    assert 0.8 <= covered <= 0.99


def test_every_request_goes_to_the_richest_head_it_can_feed(
    fitted: LearningCurvePredictor, curves: pd.DataFrame
) -> None:
    new = make_curves(12, 6)
    told = attach_siblings(new, points_of(new), extent="complete")
    codes = np.where(np.arange(12) % 2, 0.0, np.nan)
    from foretell.predictors.learning_curves.features import read_siblings

    alone = read_siblings(new[INPUTS], read_curves(new[INPUTS]))
    assert fitted._choose(codes, alone).tolist() == ["plain", "learner"] * 6
    known = read_siblings(told, read_curves(told))
    assert fitted._choose(codes, known).tolist() == ["siblings"] * 12
    assert set(fitted.heads_) == {"plain", "learner", "siblings"}


def test_learner_and_siblings_are_what_a_curve_is_known_by(fitted: LearningCurvePredictor) -> None:
    new = make_curves(4, 6)
    asked = pd.concat([new[INPUTS].head(2), attach_siblings(new, points_of(new), extent="complete")[2:]])
    asked = asked.assign(learner=["linear", "never seen", "never seen", "linear"])
    assert fitted.known_of(asked).tolist() == ["model", "neither", "benchmark", "cell"]
    basis = fitted.basis_of(asked).tolist()
    assert basis[0].endswith("observed points, curves of the learner linear")
    assert basis[1].endswith("observed points, curves of other learners")
    assert basis[2].endswith("curves of other learners, 3 siblings on the same data")


def test_complete_siblings_narrow_the_forecast(fitted: LearningCurvePredictor) -> None:
    """Asymptotes belong to data sets here, so siblings that have finished tell most of what is unknown."""
    new = make_curves(80, 7)
    told = attach_siblings(new[INPUTS], points_of(new), extent="complete")
    alone, helped = ((fitted.predict(X) - new["value"]).abs().mean() for X in (new[INPUTS], told))
    assert helped < alone * 1.05
    widths = [fitted.predict_interval(X).diff(axis=1)["upper"].mean() for X in (new[INPUTS], told)]
    assert widths[1] < widths[0] * 1.05


def test_an_unknown_learner_and_none_are_the_same(fitted: LearningCurvePredictor) -> None:
    new = make_curves(12, 8)[INPUTS]
    none = fitted.predict(new.drop(columns="learner"))
    np.testing.assert_array_equal(fitted.predict(new.assign(learner="never seen")), none)


def test_forecasts_do_not_depend_on_the_other_rows(fitted: LearningCurvePredictor) -> None:
    new = make_curves(30, 9)[INPUTS]
    many = fitted.predict_quantiles(new)
    pd.testing.assert_frame_equal(fitted.predict_quantiles(new.iloc[[17, 3]]), many.iloc[[17, 3]], rtol=1e-9)


def test_one_group_cannot_be_learnt_from(curves: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="groups"):
        LearningCurvePredictor(**SMALL).fit(
            curves[INPUTS], curves["value"], groups=pd.Series("one", index=curves.index)
        )


def test_curves_without_names_can_be_learnt_from(curves: pd.DataFrame) -> None:
    X = curves[["steps", "values", "target_step"]].assign(resource_unit="items")
    model = LearningCurvePredictor(**SMALL).fit(X, curves["value"], groups=curves["dataset"])
    assert set(model.heads_) == {"plain"}
    assert model.run_ is None
    assert np.isfinite(model.predict(X)).all()


def test_rows_of_one_curve_become_cases_of_one_weight(curves: pd.DataFrame) -> None:
    """Two cuts of each curve are one curve; its cases weigh 1 in all and stay in one group."""
    short = curves.assign(
        steps=curves["steps"].map(lambda s: s[:2]), values=curves["values"].map(lambda v: v[:2]),
        standard_errors=curves["standard_errors"].map(lambda e: e[:2]),
    )  # fmt: skip
    both = pd.concat([curves, short], ignore_index=True)
    cases = training_prefixes(
        both, read_curves(both), both["value"].to_numpy(), both["dataset"], n_prefixes=5, n_folds=3,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert set(cases.source) == set(range(len(curves)))
    np.testing.assert_allclose(np.bincount(cases.source, weights=cases.weight), 1.0)
    assert pd.Series(cases.folds).groupby(both["dataset"].to_numpy()[cases.source]).nunique().eq(1).all()
    assert (cases.batch.lengths >= 2).all()
    assert (cases.outcome == both["value"].to_numpy()[cases.source]).all()


def test_siblings_of_a_case_end_at_its_budget_or_are_complete(curves: pd.DataFrame) -> None:
    batch = read_curves(curves)
    rng = np.random.default_rng(0)
    cases = training_prefixes(
        curves, batch, curves["value"].to_numpy(), curves["dataset"], n_prefixes=3, n_folds=3, rng=rng
    )
    assert cases.siblings is not None
    complete = limited = 0
    for i, found in enumerate(cases.siblings):
        own = curves["learner"].iloc[cases.source[i]]
        assert own not in [name for name, _, _ in found]
        ends = [x[-1] for _, x, _ in found]
        if ends and max(ends) > cases.batch.last_log_x[i] + 1e-9:
            assert max(ends) == pytest.approx(cases.batch.target[i])
            complete += 1
        limited += bool(ends)
    assert 0 < complete < limited


def test_a_saved_predictor_reads_its_columns_in_the_same_order(fitted: LearningCurvePredictor, tmp_path: Path) -> None:
    new = make_curves(20, 10)
    for X in (new[INPUTS], attach_siblings(new[INPUTS], points_of(new), extent="complete")):
        loaded = LearningCurvePredictor.load(fitted.save(tmp_path / "model"))
        pd.testing.assert_frame_equal(loaded.predict_quantiles(X), fitted.predict_quantiles(X), check_exact=True)
