"""The base class: validation, the fitted check, levels, loading."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from foretell.predictors.base import EVALUATION_LEVELS, LEVELS, check_levels, load_predictor
from foretell.predictors.errors import DatasetError, InvalidInputError, NotFittedError
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline

X = pd.DataFrame({"model": ["a", "b"] * 15}, index=[f"r{i}" for i in range(30)])
Y = pd.Series(np.arange(10.0, 40.0), index=X.index)


def test_evaluation_levels_hold_the_levels_for_people_and_increase() -> None:
    assert set(LEVELS) <= set(EVALUATION_LEVELS)
    assert np.all(np.diff(EVALUATION_LEVELS) > 0)


@pytest.mark.parametrize("levels", [(), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0), (float("nan"),)])
def test_levels_that_do_not_increase_within_0_and_1_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="strictly increasing"):
        check_levels(levels)


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=20, unique=True))
def test_sorted_distinct_levels_are_accepted_as_they_are(levels: list[float]) -> None:
    assert check_levels(sorted(levels)).tolist() == sorted(levels)


def test_a_forecast_before_fit_is_an_error_that_says_so() -> None:
    with pytest.raises(NotFittedError, match="call `fit`"):
        GlobalBaseline().predict(X)
    with pytest.raises(NotFittedError):
        GlobalBaseline().save("nowhere")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_target_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(InvalidInputError, match="1 NaN or infinite"):
        GlobalBaseline().fit(X, Y.where(Y != 10.0, value))


def test_misaligned_inputs_are_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match="`y` and `X` must have the same index"):
        GlobalBaseline().fit(X, Y.reset_index(drop=True))
    with pytest.raises(InvalidInputError, match="`groups` and `X`"):
        GlobalBaseline().fit(X, Y, groups=pd.Series(["g"] * 29, index=X.index[1:]))
    with pytest.raises(InvalidInputError, match="`y` must be a Series"):
        GlobalBaseline().fit(X, Y.to_numpy())  # type: ignore[arg-type]


def test_a_fit_sums_on_one_thread_so_that_it_is_the_same_on_any_number_of_cores() -> None:
    seen: list[int] = []

    class Watched(GlobalBaseline):
        def _fit(self, *args) -> None:
            seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
            super()._fit(*args)

    with threadpool_limits(limits=2, user_api="blas"):
        Watched().fit(X, Y)
    assert set(seen) == {1}


def test_lower_bounds_alone_cannot_be_learnt_from() -> None:
    with pytest.raises(InvalidInputError, match="True in every row"):
        GlobalBaseline().fit(X, Y, is_censored=pd.Series(True, index=X.index))


def test_a_missing_required_column_is_named() -> None:
    fitted = GlobalBaseline().fit(X, Y)
    with pytest.raises(InvalidInputError, match=r"lacks the columns \['model'\]"):
        fitted.predict(X.rename(columns={"model": "modle"}))


def test_a_value_outside_its_range_is_named_with_its_column() -> None:
    fitted = GlobalBaseline().fit(X, Y)
    with pytest.raises(InvalidInputError, match="max_tokens"):
        fitted.predict(X.assign(max_tokens=-5.0))


def test_loading_refuses_what_is_no_predictor_of_this_package(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no predictor here"):
        load_predictor(tmp_path)
    manifest = {"class": "os:system", "params": {}, "state": {}, "n_samples": 1}
    (tmp_path / "predictor.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(DatasetError, match="not one of this package"):
        load_predictor(tmp_path)
    (tmp_path / "predictor.json").write_text(
        json.dumps(manifest | {"class": "foretell.predictors.base:load_predictor"})
    )
    with pytest.raises(DatasetError, match="is not a predictor"):
        load_predictor(tmp_path)
    (tmp_path / "predictor.json").write_text(json.dumps(manifest | {"class": ".of_another_time:Predictor"}))
    with pytest.raises(DatasetError, match=r"\.of_another_time:Predictor, whose module this version"):
        load_predictor(tmp_path)


@pytest.mark.parametrize("package", ["", "predictors", "foretell.predictors"])
def test_a_class_is_loaded_under_every_name_that_the_package_has_had(tmp_path: Path, package: str) -> None:
    manifest = json.loads((GlobalBaseline().fit(X, Y).save(tmp_path) / "predictor.json").read_text("utf-8"))
    assert manifest["class"] == ".thinking_tokens.baselines:GlobalBaseline"
    manifest = {key: value for key, value in manifest.items() if key not in ("files", "checksum", "known_cells")}
    (tmp_path / "predictor.json").write_text(json.dumps(manifest | {"class": package + manifest["class"]}))
    assert isinstance(load_predictor(tmp_path), GlobalBaseline)


def test_a_number_that_changed_in_the_manifest_is_told(tmp_path: Path) -> None:
    file = GlobalBaseline().fit(X, Y).save(tmp_path) / "predictor.json"
    file.write_text(file.read_text("utf-8").replace('"pooling": 5.0', '"pooling": 5.5'), "utf-8")
    with pytest.raises(DatasetError, match=r"damaged, predictor.json is missing or not what was written"):
        load_predictor(tmp_path)


def test_a_fit_remembers_the_cells_that_it_learnt_from(tmp_path: Path) -> None:
    efforts = ["high" if number // 2 % 2 else None for number in range(len(X))]
    fitted = GlobalBaseline().fit(X.assign(reasoning_effort=pd.Series(efforts, index=X.index, dtype=object)), Y)
    assert fitted.known_cells == {(model, effort) for model in set(X["model"]) for effort in ("", "high")}
    loaded = load_predictor(fitted.save(tmp_path / "new"))
    assert loaded.known_cells == fitted.known_cells
    manifest = json.loads((tmp_path / "new" / "predictor.json").read_text("utf-8"))
    before = {key: value for key, value in manifest.items() if key not in ("files", "checksum", "known_cells")}
    (tmp_path / "new" / "predictor.json").write_text(json.dumps(before), "utf-8")
    assert load_predictor(tmp_path / "new").known_cells is None


def test_loading_checks_the_class_that_was_asked_for(tmp_path: Path) -> None:
    GlobalBaseline().fit(X, Y).save(tmp_path)
    assert isinstance(GlobalBaseline.load(tmp_path), GlobalBaseline)
    with pytest.raises(DatasetError, match="holds a GlobalBaseline, not a ModelBaseline"):
        ModelBaseline.load(tmp_path)


def test_no_rows_give_an_empty_forecast_with_its_columns() -> None:
    fitted = GlobalBaseline().fit(X, Y)
    assert list(fitted.predict_quantiles(X.iloc[:0]).columns) == list(LEVELS)
    assert fitted.predict_mean(X.iloc[:0]).empty


def test_an_error_shows_no_more_than_a_little_of_a_value() -> None:
    # A target step before the last one printed the 3,000 characters of the curve's steps and values.
    from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor

    steps = [float(step) for step in range(1, 400)]
    curve = pd.DataFrame({"steps": [steps], "values": [[0.123456] * 399], "target_step": [5.0]})
    with pytest.raises(InvalidInputError, match=r"not before the last observed step \(in row 0\)") as error:
        PfnPredictor.zero_shot().predict(curve)
    assert len(str(error.value)) < 150
    with pytest.raises(InvalidInputError, match="characters") as error:
        PfnPredictor.zero_shot().predict(curve.assign(target_step="far away " * 1000))
    assert len(str(error.value)) < 500
