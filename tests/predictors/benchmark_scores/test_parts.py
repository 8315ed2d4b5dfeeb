"""The mathematics of the parts, each against a second definition or a closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.benchmark_scores.calibration import GRID, ResidualCurve
from foretell.predictors.benchmark_scores.description.features import (
    MODEL_COLUMNS,
    BenchmarkFeatures,
    benchmark_rows,
    kind_inputs,
    kind_likeness,
)
from foretell.predictors.benchmark_scores.known_scores.information import value_of_information
from foretell.predictors.benchmark_scores.known_scores.slopes import ResidualSlopes
from foretell.predictors.benchmark_scores.scale import from_logit, score_standard_error, to_logit
from foretell.predictors.errors import InvalidInputError
from tests.predictors.benchmark_scores.synthetic_scores import make_scores


def test_the_logit_is_inverted_and_bounded() -> None:
    score = np.linspace(0, 100, 41)
    np.testing.assert_allclose(from_logit(to_logit(score)), score, atol=1e-9)
    np.testing.assert_array_equal(from_logit(np.array([-1e9, 1e9])), [0.0, 100.0])
    assert to_logit(50.0) == pytest.approx(0.0)
    assert to_logit(50.0) == pytest.approx(0.0)


def test_errors_that_point_to_the_middle_are_covered_on_both_sides_of_it() -> None:
    rng = np.random.default_rng(0)
    location = np.repeat([-2.0, 2.0], 2_000)
    residual = -np.sign(location) * rng.exponential(1.0, 4_000)  # towards 50, never away from it
    levels = np.array([0.05, 0.5, 0.95])
    directed = ResidualCurve.fit(np.sign(location) * residual, np.ones(4_000)).away_from_middle(levels, location)
    assert (np.diff(directed, axis=1) > 0).all()
    for side in (location < 0, location > 0):
        np.testing.assert_allclose([(residual[side] <= q[side]).mean() for q in directed.T], levels, atol=0.02)
    plain = ResidualCurve.fit(residual, np.ones(4_000)).at(levels)
    assert (residual[location < 0] <= plain[1]).mean() < 0.1  # the second definition: what it mends


def test_likeness_of_kinds_is_a_kernel_that_translations_lower() -> None:
    benchmarks, _ = benchmark_rows(make_scores(30, 1), ["benchmark"])
    one = benchmarks.head(1)
    features = BenchmarkFeatures().fit(benchmarks)
    inputs = kind_inputs(features, benchmarks)
    likeness = kind_likeness(inputs, inputs)
    np.testing.assert_allclose(likeness, likeness.T)
    assert np.linalg.eigvalsh(likeness).min() > -1e-9
    translated, home = kind_inputs(features, one.assign(languages="deu")), kind_inputs(features, one)
    assert kind_likeness(translated, home)[0, 0] < likeness[0, 0]


def _slopes(noise: float = 0.3) -> ResidualSlopes:
    return ResidualSlopes(np.diag([1.0, 0.5, 0.2, 0.1, 0.05]), noise, np.zeros(3), np.ones(3))


def test_an_update_of_slopes_is_the_conditional_normal() -> None:
    rng = np.random.default_rng(1)
    slopes = _slopes()
    loadings = slopes.loadings(rng.normal(size=6), rng.normal(size=(6, len(MODEL_COLUMNS))))
    known, seen = np.array([0, 3, 4]), np.array([0.5, -1.0, 0.2])
    shift, deviation = slopes.update(loadings, known, seen)
    whole = loadings @ loadings.T + slopes.noise * np.eye(6)
    gain = whole[:, known] @ np.linalg.inv(whole[np.ix_(known, known)])
    conditional = whole - gain @ whole[known]
    rest = np.array([1, 2, 5])
    np.testing.assert_allclose(shift[rest], (gain @ seen)[rest], atol=1e-9)
    np.testing.assert_allclose(deviation[rest], np.sqrt(np.diag(conditional)[rest]), atol=1e-9)


def test_slopes_find_how_far_benchmarks_differ_in_level_and_over_skill() -> None:
    rng = np.random.default_rng(2)
    b, m = (a.ravel() for a in np.meshgrid(range(300), range(12), indexing="ij"))
    skill = np.linspace(-1.7, 1.7, 12)[m]
    level, slope = rng.normal(0, 1, 300), rng.normal(0, 0.5, 300)
    residuals = level[b] + slope[b] * skill / skill.std() + rng.normal(0, 0.1, len(b))
    features = np.full((len(b), len(MODEL_COLUMNS)), np.nan)
    found = ResidualSlopes.fit(residuals, b, skill, features, np.ones(300))
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance))[:2], [1.0, 0.5], rtol=0.15)
    assert found.noise == pytest.approx(0.01, rel=0.15)
    assert found.covariance[4, 4] < 0.01  # no curvature was put in


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
