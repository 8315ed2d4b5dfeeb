"""The two-way model with dates, and the calibrations of what was never seen."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.base import load_predictor
from foretell.predictors.benchmark_scores.calibration import GRID, ResidualCurve
from foretell.predictors.benchmark_scores.description.features import (
    CUES,
    BenchmarkFeatures,
    benchmark_rows,
    cue_matrix,
    model_matrix,
)
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.benchmark_scores.rows import Rows
from foretell.predictors.benchmark_scores.scale import from_logit, to_logit
from foretell.predictors.benchmark_scores.trees import predict_trees
from foretell.predictors.benchmark_scores.two_way import TwoWay
from foretell.predictors.errors import InvalidInputError
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

pytestmark = pytest.mark.slow
N_MODELS = 20
ASKED = [*INPUTS, "published_year"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    scores = make_scores(32, N_MODELS, seed=3, spread=0.3)
    skill = np.random.default_rng(1).normal(0, 0.7, N_MODELS)[scores["model"].str[1:].astype(int)]
    scores["value"] = from_logit(to_logit(scores["value"]) + skill)  # what sizes and years do not say
    return scores.assign(published_year=2019.0 + scores["benchmark"].str[1:].astype(int) / 10)


@pytest.fixture(scope="module")
def fitted(table: pd.DataFrame) -> BenchmarkScorePredictor:
    train = table[~table["model"].isin(["M18", "M19"])]
    return BenchmarkScorePredictor(n_folds=2, scale_rounds=10).fit(
        train[ASKED], train["value"], groups=train["leak_group"]
    )


def _rows(table: pd.DataFrame) -> Rows:
    benchmarks, codes = benchmark_rows(table, ["benchmark"])
    groups = pd.factorize(table.drop_duplicates("benchmark")["leak_group"])[0]
    models = pd.factorize(table["model"])[0]
    features = model_matrix(table)
    return Rows(benchmarks, groups, features[np.unique(models, return_index=True)[1]], codes, models, features)


def _new(rows: Rows) -> TwoWay:
    return TwoWay(BenchmarkFeatures().fit(rows.benchmarks))


def test_each_kind_of_strangeness_has_its_own_calibration(fitted: BenchmarkScorePredictor) -> None:
    assert set(fitted.curves_) == {"cell", "benchmark", "own", "neither", "later"}


def test_it_recovers_an_additive_table(table: pd.DataFrame) -> None:
    rows = _rows(table)
    z = to_logit(table["value"])
    model = _new(rows).fit(rows, z)
    error = model.predict(rows).location - z
    assert np.sqrt((error**2).mean()) < 0.2  # the noise of the made-up scores is 0.15


def test_given_variances_make_its_coefficients_those_of_a_ridge(table: pd.DataFrame) -> None:
    rows = _rows(table)
    z = to_logit(table["value"])
    described_before = _new(rows).fit(rows, z)
    model = _new(rows).fit(rows, z, variances_from=described_before)
    assert model.noise == described_before.noise
    # second definition: the posterior mean leaves residuals whose weighted sum over each model is its shrunk effect
    fixed = model.predict(rows).location
    assert np.corrcoef(fixed, z)[0, 1] > 0.98


def test_known_scores_of_a_new_model_place_it(fitted: BenchmarkScorePredictor, table: pd.DataFrame) -> None:
    rows = table[table["model"] == "M19"]
    # the new model is better than its size and year say: 1.5 more on the logit scale everywhere
    lifted = pd.Series(from_logit(to_logit(rows["value"]) + 1.5), index=rows.index)
    known, asked = rows.index[:5], rows.index[5:]
    blind = rows.loc[asked, ASKED]
    lists = {"own_benchmarks": rows.loc[known, "benchmark"].tolist(), "own_scores": lifted[known].tolist()}
    told = blind.assign(**{name: [values] * len(blind) for name, values in lists.items()})
    before, after = (np.abs(fitted.predict(x) - lifted[asked]).mean() for x in (blind, told))
    assert after < 0.6 * before
    assert (fitted.known_of(blind) == "benchmark").all()
    assert (fitted.known_of(told) == "cell").all()


def test_each_kind_of_strangeness_has_its_own_width(fitted: BenchmarkScorePredictor, table: pd.DataFrame) -> None:
    def width(x: pd.DataFrame) -> float:
        q = fitted.predict_quantiles(x, (0.05, 0.95))
        return float((q[0.95] - q[0.05]).mean())

    seen = table[table["model"] == "M17"][ASKED]
    new_model = table[table["model"] == "M19"][ASKED]
    new_benchmark = seen.assign(task="Questions about medical questions and rivers, collected by strangers.")
    assert width(seen) < width(new_benchmark)
    assert width(new_model) < width(new_model.assign(task=new_benchmark["task"]))


def test_what_a_new_model_misses_lies_towards_the_middle(
    fitted: BenchmarkScorePredictor, table: pd.DataFrame, tmp_path: Path
) -> None:
    asked = table[table["model"] == "M19"][ASKED]
    bold = copy(fitted)
    bold.curves_ = fitted.curves_ | {"benchmark": ResidualCurve(np.where(GRID < 0.5, 4.0, 1.0) * (GRID - 0.5))}
    low, middle, high = to_logit(bold.predict_quantiles(asked, (0.05, 0.5, 0.95))).T
    is_high = middle > 0
    assert set(is_high) == {True, False}
    assert (((high - middle) > (middle - low)) == ~is_high).all()
    bold.save(tmp_path / "bold")
    pd.testing.assert_frame_equal(
        load_predictor(tmp_path / "bold").predict_quantiles(asked), bold.predict_quantiles(asked)
    )


def test_a_benchmark_of_tomorrow_has_a_calibration_of_its_own(
    fitted: BenchmarkScorePredictor, table: pd.DataFrame
) -> None:
    row = table[table["model"] == "M17"][ASKED].head(1).assign(task="Legal clauses of a kind that was never seen here.")
    last = table["published_year"].max()

    def width(year: float) -> float:
        points = fitted.predict_quantiles(row.assign(published_year=year), (0.25, 0.75)).to_numpy()[0]
        return float(np.diff(to_logit(points))[0])

    later, usual = (np.diff(curve.at(np.array([0.25, 0.75])))[0] for curve in (fitted.curves_["later"], fitted.curve_))
    assert later != pytest.approx(usual, rel=0.05)
    assert width(last + 1e-6) / width(last) == pytest.approx(later / usual, rel=1e-3)


def test_the_forest_speaks_where_the_benchmark_is_new_and_only_there(table: pd.DataFrame) -> None:
    out = (table["benchmark"].str[1:].astype(int) >= 24).to_numpy()
    train, asked = _rows(table[~out]), _rows(table[out])
    model = _new(train).fit(train, to_logit(table["value"][~out]))
    found = model.predict(asked)
    level = predict_trees(model.forest, model.features.matrix(asked.benchmarks))[asked.benchmark]
    np.testing.assert_allclose(found.location - found.model + found.forest, level)
    assert np.abs(found.forest).max() > 0.1
    assert np.abs(model.predict(train).forest).max() == 0.0


def test_what_was_learnt_of_time_holds_a_few_years_later(table: pd.DataFrame) -> None:
    # A trend that is extrapolated forecast 100 points for every model of 2025 from scores of 2023.
    rows = _rows(table)
    model = _new(rows).fit(rows, to_logit(table["value"]))
    new = table[table["model"] == "M17"].assign(model="X", task="Questions on rivers that nobody has seen so far.")
    levels = [
        model.predict(_rows(new.assign(published_year=2022.0 + n, release_year=2023.0 + n))).location.mean()
        for n in (0, 4)
    ]
    assert abs(levels[1] - levels[0]) < 0.5


def test_an_unknown_year_is_taken_for_a_recent_one(fitted: BenchmarkScorePredictor, table: pd.DataFrame) -> None:
    row = table[table["model"] == "M17"][ASKED].head(1).assign(task="Legal clauses of a kind that was never seen here.")
    recent = float(fitted.two_way_.arrays["recent"][0])
    assert fitted.predict(row.assign(published_year=np.nan)).iloc[0] == pytest.approx(
        fitted.predict(row.assign(published_year=recent)).iloc[0]
    )


def test_saved_and_loaded_it_forecasts_the_same(
    fitted: BenchmarkScorePredictor, table: pd.DataFrame, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "saved")
    loaded = BenchmarkScorePredictor.load(tmp_path / "saved")
    x = table[table["model"] == "M19"][ASKED]
    pd.testing.assert_frame_equal(loaded.predict_quantiles(x, (0.1, 0.9)), fitted.predict_quantiles(x, (0.1, 0.9)))


def test_own_scores_that_are_shares_are_refused(fitted: BenchmarkScorePredictor, table: pd.DataFrame) -> None:
    row = table[ASKED].head(1).assign(own_benchmarks=[["B1"]], own_scores=[[0.4]])
    with pytest.raises(InvalidInputError, match="`own_scores` look like shares"):
        fitted.check_request(row)


def test_cues_are_read_from_texts_of_any_author() -> None:
    found = cue_matrix(["pick one of 4 options; physics questions by phd experts", "edit code in a repository", ""])
    named = [{cue for cue, is_there in zip(CUES, row, strict=True) if is_there} for row in found]
    assert {"choice", "science", "expert"} <= named[0]
    assert {"code", "repository"} <= named[1]
    assert named[2] == set()
