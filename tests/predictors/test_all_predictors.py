"""One contract for every predictor in `ALL_PREDICTORS`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from foretell.predictors.base import BasePredictor, load_predictor
from foretell.predictors.errors import DatasetError, NotFittedError
from foretell.predictors.families import ALL_PREDICTORS, FAMILIES
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS as SCORE_INPUTS
from tests.predictors.benchmark_scores.synthetic_scores import make_scores
from tests.predictors.downstream_scaling.synthetic_ladders import INPUTS as LADDER_INPUTS
from tests.predictors.downstream_scaling.synthetic_ladders import make_ladders
from tests.predictors.learning_curves.synthetic_curves import INPUTS as CURVE_INPUTS
from tests.predictors.learning_curves.synthetic_curves import make_curves
from tests.predictors.success.synthetic_success import INPUTS as SUCCESS_INPUTS
from tests.predictors.success.synthetic_success import make_success
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs


@dataclass(frozen=True)
class Example:
    """What a family learns from, and other data to learn from instead."""

    X: pd.DataFrame
    y: pd.Series
    groups: pd.Series
    is_censored: pd.Series


def _thinking_tokens(seed: int) -> Example:
    runs = make_runs(40, n_replicates=2, cap=8_000.0, seed=seed)
    runs.index = pd.Index([f"run {i}" for i in range(len(runs))])
    return Example(runs[INPUTS], runs["output_tokens"], runs["query_id"], runs["is_censored"])


def _benchmark_scores(seed: int) -> Example:
    scores = make_scores(24, 6, seed=seed)
    scores.index = pd.Index([f"run {i}" for i in range(len(scores))])
    censored = pd.Series(False, index=scores.index)
    return Example(scores[SCORE_INPUTS], scores["value"], scores["leak_group"], censored)


def _learning_curves(seed: int) -> Example:
    curves = make_curves(40, seed)
    curves.index = pd.Index([f"curve {i}" for i in range(len(curves))])
    return Example(curves[CURVE_INPUTS], curves["value"], curves["dataset"], pd.Series(False, index=curves.index))


def _downstream_scaling(seed: int) -> Example:
    ladders = make_ladders(28, seed)
    ladders.index = pd.Index([f"ladder {i}" for i in range(len(ladders))])
    known = [name for name in LADDER_INPUTS if name in ladders]
    return Example(ladders[known], ladders["value"], ladders["query_id"], pd.Series(False, index=ladders.index))


def _success(seed: int) -> Example:
    runs = make_success(60, seed=seed, repeats=2)
    runs.index = pd.Index([f"run {i}" for i in range(len(runs))])
    return Example(runs[SUCCESS_INPUTS], runs["right"], runs["query_id"], pd.Series(False, index=runs.index))


EXAMPLES: dict[str, Callable[[int], Example]] = {
    "benchmark_scores": _benchmark_scores,
    "downstream_scaling": _downstream_scaling,
    "learning_curves": _learning_curves,
    "success": _success,
    "thinking_tokens": _thinking_tokens,
}
"""Made-up data of each family, by seed; a new family adds its own."""

PREDICTORS = [path for path in ALL_PREDICTORS if path.split(".")[1] in EXAMPLES]


def _class(path: str) -> type[BasePredictor]:
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module, "foretell.predictors"), name)
    assert issubclass(found, BasePredictor)
    return found


def _fit(predictor: BasePredictor, example: Example) -> BasePredictor:
    return predictor.fit(example.X, example.y, groups=example.groups, is_censored=example.is_censored)


@pytest.fixture(scope="module", params=PREDICTORS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def example(path: str) -> Example:
    return EXAMPLES[path.split(".")[1]](0)


@pytest.fixture(scope="module")
def fitted(path: str, example: Example) -> BasePredictor:
    return _fit(_class(path)(), example)


def test_every_family_has_example_data() -> None:
    assert set(FAMILIES) == set(EXAMPLES), "add made-up data of the new family to EXAMPLES"


def test_parameters_are_assigned_and_nothing_else(path: str) -> None:
    predictor = _class(path)()
    assert vars(predictor) == predictor.get_params(deep=False)
    assert clone(predictor).get_params() == predictor.get_params()


def test_not_fitted_before_fit(path: str, example: Example) -> None:
    with pytest.raises(NotFittedError):
        _class(path)().predict_quantiles(example.X)


def test_quantiles_keep_the_index_and_do_not_cross(fitted: BasePredictor, example: Example) -> None:
    levels = (0.001, 0.05, 0.3, 0.5, 0.77, 0.95, 0.999)
    quantiles = fitted.predict_quantiles(example.X, levels)
    assert quantiles.index.equals(example.X.index)
    assert tuple(quantiles.columns) == levels
    assert np.isfinite(quantiles.to_numpy()).all()
    assert (np.diff(quantiles.to_numpy(), axis=1) >= 0).all()


def test_a_quantile_does_not_depend_on_the_other_levels_or_rows(fitted: BasePredictor, example: Example) -> None:
    many = fitted.predict_quantiles(example.X, (0.1, 0.5, 0.8))
    one = fitted.predict_quantiles(example.X.iloc[3:4], (0.8,))
    np.testing.assert_allclose(one[0.8], many[0.8].iloc[3:4], rtol=1e-12)


def test_intervals_and_median_are_quantiles(fitted: BasePredictor, example: Example) -> None:
    quantiles = fitted.predict_quantiles(example.X, (0.05, 0.5, 0.95))
    interval = fitted.predict_interval(example.X, 0.9)
    np.testing.assert_allclose(interval.to_numpy(), quantiles[[0.05, 0.95]].to_numpy())
    np.testing.assert_allclose(fitted.predict(example.X), quantiles[0.5])


def test_the_mean_is_finite_and_within_the_extremes(fitted: BasePredictor, example: Example) -> None:
    mean = fitted.predict_mean(example.X)
    ends = fitted.predict_quantiles(example.X, (0.0001, 0.9999))
    assert mean.index.equals(example.X.index)
    assert ((mean >= ends.iloc[:, 0]) & (mean <= ends.iloc[:, 1])).all()


def test_input_is_not_modified(path: str, fitted: BasePredictor, example: Example) -> None:
    fitted.predict_mean(example.X)
    made_anew = EXAMPLES[path.split(".")[1]](0)
    pd.testing.assert_frame_equal(example.X, made_anew.X)
    pd.testing.assert_series_equal(example.y, made_anew.y)


def test_fit_twice_is_fit_once_on_the_second_data(path: str, fitted: BasePredictor, example: Example) -> None:
    other = EXAMPLES[path.split(".")[1]](1)
    some = other.groups.isin(other.groups.unique()[::2])
    less = Example(other.X[some], other.y[some], other.groups[some], other.is_censored[some])
    again = _fit(_fit(_class(path)(), less), example)
    pd.testing.assert_frame_equal(again.predict_quantiles(example.X), fitted.predict_quantiles(example.X))


def test_the_order_of_columns_does_not_matter(fitted: BasePredictor, example: Example) -> None:
    turned = example.X[example.X.columns[::-1]]
    pd.testing.assert_frame_equal(fitted.predict_quantiles(turned), fitted.predict_quantiles(example.X))


def test_save_and_load_change_no_number_and_write_no_pickle(
    fitted: BasePredictor, example: Example, tmp_path: Path
) -> None:
    loaded = load_predictor(fitted.save(tmp_path / "model"))
    assert loaded.get_params() == fitted.get_params()
    pd.testing.assert_frame_equal(
        loaded.predict_quantiles(example.X), fitted.predict_quantiles(example.X), check_exact=True
    )
    pd.testing.assert_series_equal(loaded.predict_mean(example.X), fitted.predict_mean(example.X), check_exact=True)
    suffixes = {file.suffix for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert suffixes <= {".json", ".safetensors", ".txt", ".parquet"}


def test_what_another_version_saved_is_refused_with_the_remedy(fitted: BasePredictor, tmp_path: Path) -> None:
    manifest_file = fitted.save(tmp_path / "model") / "predictor.json"
    manifest = json.loads(manifest_file.read_text("utf-8"))
    # Another version's own checksums would agree; those of the first predictors are absent.
    manifest = {key: value for key, value in manifest.items() if key not in ("files", "checksum")}
    changed = [manifest | {"params": {**manifest["params"], "no_longer": 1}}]
    for key in manifest["state"]:
        changed.append(manifest | {"state": {k: v for k, v in manifest["state"].items() if k != key}})
    for other in changed:
        manifest_file.write_text(json.dumps(other), "utf-8")
        with pytest.raises(DatasetError, match=f"foretell retrain {fitted.family}"):
            load_predictor(tmp_path / "model")


def test_what_was_known_is_said_of_every_row_or_of_none(fitted: BasePredictor, example: Example) -> None:
    X = example.X.iloc[[3, 1]]
    known, basis = fitted.known_of(X), fitted.basis_of(X)
    assert known.index.equals(X.index)
    assert basis.index.equals(X.index)
    assert (known.name, basis.name) == ("known", "basis")
    assert set(known.dropna()) <= {"cell", "model", "benchmark", "neither"}
    assert known.isna().equals(basis.isna())
    assert known.notna().all() or known.isna().all()


def test_a_file_cut_short_is_told_before_it_is_parsed(fitted: BasePredictor, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 1):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DatasetError, match=r"damaged|no predictor here"):
            load_predictor(folder)
        file.write_bytes(whole)
    load_predictor(folder)
