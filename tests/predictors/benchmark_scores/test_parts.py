"""The mathematics of the parts, each against a second definition or a closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictors.benchmark_scores.calibration import GRID, ResidualCurve
from predictors.benchmark_scores.effects import fit_effects
from predictors.benchmark_scores.factors import ResidualFactors
from predictors.benchmark_scores.features import BenchmarkFeatures, benchmark_rows
from predictors.benchmark_scores.gaussian_process import LEVEL, DescriptionProcess
from predictors.benchmark_scores.information import value_of_information
from predictors.benchmark_scores.neighbours import Neighbours
from predictors.benchmark_scores.noise import score_standard_error
from predictors.benchmark_scores.requests import plainly_valid
from predictors.benchmark_scores.scale import from_logit, to_logit
from predictors.errors import InvalidInputError
from predictors.schemas.descriptions import ScoreRequests
from tests.predictors.benchmark_scores.synthetic_scores import make_scores


def test_the_logit_is_inverted_and_bounded() -> None:
    score = np.linspace(0, 100, 41)
    np.testing.assert_allclose(from_logit(to_logit(score)), score, atol=1e-9)
    np.testing.assert_array_equal(from_logit(np.array([-1e9, 1e9])), [0.0, 100.0])
    assert to_logit(50.0) == pytest.approx(0.0)
    assert to_logit(50.0) == pytest.approx(0.0)


def test_effects_of_a_full_additive_table_are_recovered() -> None:
    hard, good = np.array([-1.0, 0.0, 1.0]), np.array([-0.5, 0.5])
    b, m = (a.ravel() for a in np.meshgrid(range(3), range(2), indexing="ij"))
    found = fit_effects(2.0 + hard[b] + good[m], b, m, (3, 2), shrinkage=0.0)
    np.testing.assert_allclose(found.mean + found.benchmark[b] + found.model[m], 2.0 + hard[b] + good[m], atol=1e-9)


def test_an_unseen_models_effect_is_its_prior() -> None:
    found = fit_effects(np.array([1.0, 2.0]), np.array([0, 1]), np.array([0, 0]), (2, 2), prior=np.array([0.0, 0.7]))
    assert found.model[1] == pytest.approx(0.7)


def _process() -> tuple[DescriptionProcess, pd.DataFrame, np.ndarray, np.ndarray]:
    table = make_scores(30, 1)
    benchmarks, _ = benchmark_rows(table, ["benchmark"])
    groups = np.arange(len(benchmarks)) // 2
    effects = np.random.default_rng(0).normal(size=len(benchmarks))
    return DescriptionProcess(BenchmarkFeatures().fit(benchmarks)), benchmarks, groups, effects


def test_the_process_is_the_textbook_posterior() -> None:
    process, benchmarks, groups, effects = _process()
    process.fit(benchmarks.iloc[:25], effects[:25], groups[:25])
    mean, deviation = process.predict(benchmarks.iloc[25:])
    inputs = process._inputs(benchmarks)
    whole = sum(w * k for w, k in zip(process.weights, process._kernels(inputs), strict=True)) + LEVEL
    noise = process.noise[0] * (groups[:25, None] == groups[:25]) + process.noise[1] * np.eye(25)
    inverse = np.linalg.inv(whole[:25, :25] + noise)
    target = (effects[:25] - effects[:25].mean()) / effects[:25].std()
    expected = effects[:25].mean() + effects[:25].std() * whole[25:, :25] @ inverse @ target
    variance = np.diag(whole[25:, 25:] - whole[25:, :25] @ inverse @ whole[:25, 25:]) + process.noise.sum()
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(deviation, effects[:25].std() * np.sqrt(variance), rtol=1e-4)


def test_the_covariance_of_the_process_has_its_deviations_on_the_diagonal() -> None:
    process, benchmarks, groups, effects = _process()
    process.fit(benchmarks.iloc[:25], effects[:25], groups[:25])
    covariance = process.covariance(benchmarks.iloc[25:], np.arange(5))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), process.predict(benchmarks.iloc[25:])[1], rtol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_neighbours_count_a_leak_group_once() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.8, 0.6]])
    near = Neighbours(vectors, np.array([4.0, 4.0, 4.0, -4.0]), np.array([0, 0, 0, 1]), k=2)
    weight = np.array([1.0, 0.8**2])
    assert near.predict(np.array([[1.0, 0.0]]))[0] == pytest.approx(np.average([4.0, -4.0], weights=weight))


def test_a_factor_update_is_the_conditional_normal() -> None:
    rng = np.random.default_rng(1)
    loadings, variance = rng.normal(size=(6, 2)), rng.uniform(0.2, 0.5, 6)
    known, seen = np.array([0, 3, 4]), np.array([0.5, -1.0, 0.2])
    shift, deviation = ResidualFactors.update(loadings, variance, known, seen)
    whole = loadings @ loadings.T + np.diag(variance)
    gain = whole[:, known] @ np.linalg.inv(whole[np.ix_(known, known)])
    conditional = whole - gain @ whole[known]
    rest = np.array([1, 2, 5])
    np.testing.assert_allclose(shift[rest], (gain @ seen)[rest], atol=1e-9)
    np.testing.assert_allclose(deviation[rest], np.sqrt(np.diag(conditional)[rest]), atol=1e-9)


def test_factors_find_a_common_shift_of_a_benchmark() -> None:
    rng = np.random.default_rng(2)
    b, m = (a.ravel() for a in np.meshgrid(range(60), range(8), indexing="ij"))
    residuals = rng.normal(0, 1, 60)[b] + rng.normal(0, 0.1, len(b))
    factors = ResidualFactors.fit(residuals, b, m, np.arange(8.0)[:, None], rank=1)
    shift, deviation = ResidualFactors.update(factors.loadings, factors.variance, np.array([0]), np.array([1.0]))
    np.testing.assert_allclose(shift[1:], 1.0, atol=0.15)  # sd .1 of a run against 1 of a benchmark
    assert deviation[1:].max() < 0.35


def test_a_model_that_was_never_seen_has_the_loadings_of_its_metadata() -> None:
    rng = np.random.default_rng(3)
    size = np.linspace(-1, 1, 20)
    b, m = (a.ravel() for a in np.meshgrid(range(200), range(20), indexing="ij"))
    residuals = (1 + 0.5 * size[m]) * rng.normal(0, 1, 200)[b] + rng.normal(0, 0.1, len(b))
    factors = ResidualFactors.fit(residuals, b, m, size[:, None], rank=1)
    loadings, _ = factors.of_models(np.array([-1, -1]), np.array([[-1.0], [1.0]]))
    assert abs(loadings[1, 0]) / abs(loadings[0, 0]) == pytest.approx(3.0, rel=0.35)


def test_the_curve_is_conformal() -> None:
    residuals = np.arange(1.0, 1000.0)
    curve = ResidualCurve.fit(residuals, np.ones(999))
    assert curve.at(np.array([0.9]))[0] == pytest.approx(900.0)  # the ceil((n + 1) level)-th of n
    assert (np.diff(curve.at(GRID)) >= 0).all()


def test_noise_adds_binomial_and_replicate_variance() -> None:
    scores = pd.DataFrame({
        "score": [50.0, 50.0, 50.0, 50.0, 50.0], "metric": ["accuracy", "accuracy", "ndcg_at_10", "ndcg_at_10", "acc"],
        "n_items": [101.0, 101.0, 101.0, 101.0, 101.0], "replicate_sd": [np.nan, 2.0, 2.0, np.nan, np.nan],
        "n_replicates": [1.0, 4.0, 4.0, 1.0, 1.0], "standard_error_reported": [np.nan, np.nan, np.nan, np.nan, 3.0],
    })  # fmt: skip
    expected = [5.0, np.sqrt(25 + 1), 1.0, np.nan, 3.0]
    np.testing.assert_allclose(score_standard_error(scores), expected)


def test_the_most_informative_run_is_bought_first_and_the_budget_holds() -> None:
    covariance = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]])
    bought = value_of_information(covariance, costs=np.array([5.0, 1.0, 1.0]), budget=1.5, noise=0.01,
                                  wanted=np.array([0]))  # fmt: skip
    assert bought["run"].tolist() == [1]
    assert bought["variance_removed"].iloc[0] == pytest.approx(0.81 / 1.01)


def test_value_of_information_counts_what_is_already_known() -> None:
    covariance = np.full((3, 3), 0.99) + 0.01 * np.eye(3)
    bought = value_of_information(covariance, costs=np.ones(3), budget=3, noise=0.01)
    assert bought["variance_removed"].iloc[0] > 50 * bought["variance_removed"].iloc[1]
    with pytest.raises(InvalidInputError, match="`costs`"):
        value_of_information(covariance, costs=np.zeros(3), budget=1)


@pytest.mark.parametrize("column", sorted(ScoreRequests.to_schema().columns))
def test_the_short_way_through_validation_lets_nothing_pass_that_the_schema_stops(column: str) -> None:
    for value in (-1.0, 0.0, 0.5, 1.0, 1900.0, 2150.0, np.nan, "text"):
        row = pd.DataFrame({column: [value]})
        quick = plainly_valid(row)
        if quick is not None:
            pd.testing.assert_frame_equal(quick, ScoreRequests.validate(row, lazy=True))
    assert plainly_valid(make_scores(2, 2)[["task", "n_classes"]]) is not None
