"""The predictor as a user meets it: bounded, calibrated, honest where it knows nothing, saved without pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.base import load_predictor
from foretell.predictors.benchmark_scores.baselines import GlobalBaseline, ModelBaseline, TypeBaseline, TypeSizeBaseline
from foretell.predictors.benchmark_scores.known_scores.information import value_of_information
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.serving import forecast_frame
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

SMALL = {"n_folds": 3, "scale_rounds": 10}


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return make_scores(40, 12, seed=0)


@pytest.fixture(scope="module")
def test() -> pd.DataFrame:
    rows = make_scores(30, 12, seed=1)
    return rows.assign(leak_group="T" + rows["leak_group"], benchmark="T" + rows["benchmark"])


@pytest.fixture(scope="module")
def fitted(train: pd.DataFrame) -> BenchmarkScorePredictor:
    return BenchmarkScorePredictor(**SMALL).fit(train[INPUTS], train["value"], groups=train["leak_group"])  # type: ignore[arg-type]


def error(forecast: pd.Series, rows: pd.DataFrame) -> float:
    return float((forecast - rows["value"]).abs().mean())


def test_it_beats_every_baseline_where_words_and_sizes_matter(
    fitted: BenchmarkScorePredictor, train: pd.DataFrame, test: pd.DataFrame
) -> None:
    own = error(fitted.predict(test[INPUTS]), test)
    for baseline in (GlobalBaseline(), TypeBaseline(), ModelBaseline(), TypeSizeBaseline()):
        baseline.fit(train[INPUTS], train["value"], groups=train["leak_group"])
        assert own < 0.9 * error(baseline.predict(test[INPUTS]), test)


def test_intervals_hold_what_they_promise_on_new_leak_groups(
    fitted: BenchmarkScorePredictor, test: pd.DataFrame
) -> None:
    interval = fitted.predict_interval(test[INPUTS], coverage=0.9)
    held = test["value"].between(interval["lower"], interval["upper"]).mean()
    assert held >= 0.75  # 15 new leak groups: a standard error of about .06
    assert interval.to_numpy().min() >= 0
    assert interval.to_numpy().max() <= 100


def test_a_model_saved_and_loaded_forecasts_the_same(
    fitted: BenchmarkScorePredictor, test: pd.DataFrame, tmp_path: Path
) -> None:
    again = load_predictor(fitted.save(tmp_path / "model"))
    rows = _with_known(test.head(24))
    pd.testing.assert_frame_equal(again.predict_quantiles(rows), fitted.predict_quantiles(rows))
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".txt", ".json", ".safetensors"}


def test_the_same_seed_gives_the_same_forecast(train: pd.DataFrame, test: pd.DataFrame) -> None:
    first, second = (
        BenchmarkScorePredictor(**SMALL).fit(train[INPUTS], train["value"], groups=train["leak_group"])  # type: ignore[arg-type]
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.predict_quantiles(test[INPUTS]), second.predict_quantiles(test[INPUTS]))


def _with_known(rows: pd.DataFrame, n: int = 3) -> pd.DataFrame:
    parts = []
    for _, group in rows.groupby("benchmark"):
        told, rest = group.head(n), group.iloc[n:]
        names, scores = [told["model"].tolist()] * len(rest), [told["value"].tolist()] * len(rest)
        parts.append(rest[INPUTS].assign(known_models=names, known_scores=scores))
    return pd.concat(parts)


def test_known_scores_of_cheap_models_halve_error_and_narrow_intervals(
    fitted: BenchmarkScorePredictor, test: pd.DataFrame
) -> None:
    told = _with_known(test)
    without = told.drop(columns=["known_models", "known_scores"])
    rows = test.loc[told.index]
    assert error(fitted.predict(told), rows) < 0.6 * error(fitted.predict(without), rows)
    widths = [w["upper"] - w["lower"] for w in (fitted.predict_interval(told), fitted.predict_interval(without))]
    assert widths[0].mean() < 0.8 * widths[1].mean()


def test_known_scores_of_models_nobody_knows_change_nothing(
    fitted: BenchmarkScorePredictor, test: pd.DataFrame
) -> None:
    rows = test.head(3)[INPUTS]
    told = rows.assign(known_models=[["X"]] * 3, known_scores=[[50.0]] * 3)
    pd.testing.assert_frame_equal(fitted.predict_quantiles(told), fitted.predict_quantiles(rows))


def test_an_empty_description_gets_a_wide_forecast(fitted: BenchmarkScorePredictor, test: pd.DataFrame) -> None:
    known = fitted.predict_interval(test[INPUTS])
    empty = fitted.predict_interval(test[["model", "n_params", "release_year"]].head(12))
    assert (empty["upper"] - empty["lower"]).min() > (known["upper"] - known["lower"]).mean()


def test_a_foreign_text_or_an_unknown_metric_gets_the_same_wide_forecast(fitted: BenchmarkScorePredictor) -> None:
    model = {"model": ["M3"], "n_params": [1e8]}
    blank = fitted.predict_quantiles(pd.DataFrame(model))
    foreign = fitted.predict_quantiles(pd.DataFrame({**model, "task": ["評価データセットの説明文です"]}))
    unknown = fitted.predict_quantiles(pd.DataFrame({**model, "metric": ["perplexity"], "answer_format": ["class"]}))
    pd.testing.assert_frame_equal(foreign, blank)
    pd.testing.assert_frame_equal(unknown, blank)


def test_a_text_of_100_kb_is_forecast(fitted: BenchmarkScorePredictor) -> None:
    row = pd.DataFrame({"model": ["M3"], "task": ["legal clauses " * 7500]})
    assert fitted.predict(row).between(0, 100).all()


def test_an_unknown_model_is_less_certain(fitted: BenchmarkScorePredictor,
                                                                           test: pd.DataFrame) -> None:  # fmt: skip
    known = test.head(12)[INPUTS]
    unseen = known.assign(model="never seen")
    widths = [fitted.predict_interval(rows).pipe(lambda t: t["upper"] - t["lower"]) for rows in (known, unseen)]
    assert widths[1].mean() > widths[0].mean()


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_scores_at_the_ends_are_learnt_from(train: pd.DataFrame, value: float) -> None:
    y = train["value"].where(train["model"] != "M0", value)
    few = BenchmarkScorePredictor(**SMALL)  # type: ignore[arg-type]
    forecast = few.fit(train[INPUTS], y, groups=train["leak_group"]).predict_quantiles(train[INPUTS].head(12))
    assert forecast.to_numpy().min() >= 0
    assert forecast.to_numpy().max() <= 100


@pytest.mark.parametrize("value", [-0.1, 100.1])
def test_a_score_outside_the_range_is_an_error(train: pd.DataFrame, value: float) -> None:
    y = train["value"].copy()
    y.iloc[5] = value
    for predictor in (BenchmarkScorePredictor(**SMALL), GlobalBaseline()):  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match=r"\[0, 100\] points"):
            predictor.fit(train[INPUTS], y, groups=train["leak_group"])


def test_wrong_inputs_are_named(fitted: BenchmarkScorePredictor, train: pd.DataFrame) -> None:
    row = train.head(1)[INPUTS]
    with pytest.raises(InvalidInputError, match="lists of equal length"):
        fitted.predict(row.assign(known_models=[["M1"]], known_scores=[[50.0, 60.0]]))
    with pytest.raises(InvalidInputError, match="lists of equal length"):
        fitted.predict(row.assign(known_models=[["M1"]], known_scores=[[101.0]]))
    with pytest.raises(InvalidInputError, match="3 leak groups or more"):
        BenchmarkScorePredictor().fit(train[INPUTS], train["value"], groups=train["model"].map(lambda _: "one"))


def test_the_covariance_of_scores_values_a_run_on_the_same_benchmark_most(
    fitted: BenchmarkScorePredictor, test: pd.DataFrame
) -> None:
    rows = test[test["benchmark"].isin(["TB0", "TB1", "TB2"]) & test["model"].isin(["M0", "M11"])]
    covariance = fitted.score_covariance(rows[INPUTS])
    assert np.linalg.eigvalsh(covariance).min() > 0
    wanted = np.flatnonzero((rows["benchmark"] == "TB0") & (rows["model"] == "M11"))
    costs = np.where(np.arange(len(rows)) == wanted[0], 1e6, 1.0)
    bought = value_of_information(covariance, costs=costs, budget=1, wanted=wanted)
    assert rows["benchmark"].iloc[bought["run"].iloc[0]] == "TB0"


def test_a_baseline_cell_is_its_weighted_median(train: pd.DataFrame, tmp_path: Path) -> None:
    baseline = TypeBaseline().fit(train[INPUTS], train["value"])
    rows = train[train["answer_format"] == "class"]
    assert baseline.predict(rows[INPUTS]).iloc[0] == pytest.approx(rows["value"].median(), abs=1.5)
    again = load_predictor(baseline.save(tmp_path / "b"))
    pd.testing.assert_frame_equal(again.predict_quantiles(rows[INPUTS]), baseline.predict_quantiles(rows[INPUTS]))
    unseen = rows[INPUTS].head(1).assign(answer_format="never")
    everything = GlobalBaseline().fit(train[INPUTS], train["value"])
    assert baseline.predict(unseen).iloc[0] == everything.predict(unseen).iloc[0]


def test_every_answer_says_first_what_was_known(
    fitted: BenchmarkScorePredictor, train: pd.DataFrame, test: pd.DataFrame, tmp_path: Path
) -> None:
    # It answered 15.4 [0, 74.2] for anything, without a sign that neither model nor benchmark were known.
    seen, new = train[INPUTS].head(1), test[INPUTS].head(1)
    unlike = new.assign(task="Zebras weigh hydrogen.", domain="zoology")
    asked = pd.concat([seen, seen.assign(model="nobody"), unlike, unlike.assign(model="nobody")], ignore_index=True)
    blank = pd.DataFrame({"model": ["nobody"]})
    frame = forecast_frame(fitted, pd.concat([asked, blank], ignore_index=True))
    assert frame.columns.tolist()[:2] == ["known", "basis"]
    assert frame["known"].tolist() == ["cell", "benchmark", "model", "neither", "neither"]
    basis = frame["basis"]
    assert basis[0] == "scores on a benchmark of this very description; 40 scores of the model"
    assert basis[1].endswith("a model that was never seen")
    assert "nearest of training: alike to 0." in basis[2]
    assert "the spread of all benchmarks" in basis[4]
    again = load_predictor(fitted.save(tmp_path / "saved"))
    assert forecast_frame(again, asked)["basis"].tolist() == basis[:4].tolist()


def test_known_scores_make_the_benchmark_known(fitted: BenchmarkScorePredictor, test: pd.DataFrame) -> None:
    asked = test[INPUTS].head(1).assign(known_models=[["M1", "M2"]], known_scores=[[40.0, 50.0]], model="nobody")
    frame = forecast_frame(fitted, asked)
    assert frame["known"].tolist() == ["benchmark"]
    assert frame["basis"].iloc[0].startswith("2 known scores of other models; ")


def test_known_scores_that_are_shares_are_refused(fitted: BenchmarkScorePredictor, test: pd.DataFrame) -> None:
    # 0.4 was read as 0.4 points, and pulled the forecast to the floor.
    asked = test[INPUTS].head(1).assign(known_models=[["M1", "M2"]], known_scores=[[0.4, 0.5]])
    with pytest.raises(InvalidInputError, match=r"`known_scores` look like shares \(the largest is 0\.5\)"):
        forecast_frame(fitted, asked)
    assert forecast_frame(fitted, asked.assign(known_scores=[[0.0, 0.0]]))["median"].notna().all()
