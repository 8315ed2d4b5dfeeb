"""The pieces of the thinking-token forecast, each against what is known on paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.fitting.text.features import TEXT_STATISTICS, TextEmbedding, text_statistics
from foretell.predictors.thinking_tokens.heads.calibration import Calibration
from foretell.predictors.thinking_tokens.heads.censoring import ResidualDistribution
from foretell.predictors.thinking_tokens.heads.distribution import (
    GRID,
    HEAD_LEVELS,
    Heads,
    PooledQuantiles,
    evaluate_curves,
    join_heads,
    moved_curves,
)
from foretell.predictors.thinking_tokens.known_runs.context import attach_context, flatten_context, sample_context
from foretell.predictors.thinking_tokens.known_runs.query_effects import ContextRuns, QueryEffects, normal_scores
from foretell.predictors.thinking_tokens.pooling.hierarchy import PooledLocation, cell_keys

NOTHING = np.empty((0, 0))


# -- text ------------------------------------------------------------------------------------------
def test_text_statistics_of_a_text_counted_by_hand() -> None:
    found = dict(zip(TEXT_STATISTICS, text_statistics(["Prove: 12 = 3x4?\nÄ"])[0], strict=True))
    assert found["log_n_characters"] == pytest.approx(np.log1p(18))
    assert found["log_n_words"] == pytest.approx(np.log1p(4))  # Prove 12 3x4 Ä
    assert found["log_n_lines"] == pytest.approx(np.log1p(1))
    assert found["share_digits"] == pytest.approx(4 / 18)
    assert found["share_capitals"] == pytest.approx(1 / 18)
    assert found["share_non_ascii"] == pytest.approx(1 / 18)
    assert found["log_n_numbers"] == pytest.approx(np.log1p(3))
    assert found["asks_for_proof"] == 1.0
    assert found["has_code"] == 0.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_text_has_finite_statistics(texts: list[str]) -> None:
    assert np.isfinite(text_statistics(texts)).all()


def test_embedding_is_of_training_text_only_and_null_is_the_centre() -> None:
    texts = [f"sum of {i} and {i + 1} apples" for i in range(30)] + [f"prove lemma {i}" for i in range(30)]
    embedding = TextEmbedding(n_components=5).fit(texts)
    vectors = embedding.transform([*texts, None, "words never seen", "prove lemma 3"])
    assert vectors.shape == (63, embedding.n_features)
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[60], 0.0)
    np.testing.assert_allclose(vectors[62], vectors[33], atol=1e-6)
    tfidf = vectors[:60, : embedding.n_features - len(TEXT_STATISTICS)]
    np.testing.assert_allclose(tfidf.mean(axis=0), 0.0, atol=1e-5)
    assert (tfidf[:, :5] ** 2).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-4)


def test_a_text_of_a_megabyte_is_embedded_from_its_ends() -> None:
    texts = [f"{words} {i}" for words in ("alpha beta", "beta gamma", "gamma alpha delta") for i in range(5)]
    embedding = TextEmbedding(n_components=3).fit(texts)
    long = "alpha beta " * 100_000
    changed = long[:500_000] + "gamma" + long[500_005:]
    first, second = embedding.transform([long, changed])
    np.testing.assert_allclose(first[: len(embedding.axes_["word"])], second[: len(embedding.axes_["word"])])


# -- pooling ---------------------------------------------------------------------------------------
def test_pooled_intercepts_are_the_ridge_solution() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"model": rng.choice(["a", "b", "c"], 60), "benchmark": rng.choice(["u", "v"], 60)})
    z, weight = rng.normal(size=60), rng.uniform(0.5, 1.5, 60)
    location = PooledLocation(intercept_penalty=3.0).prepare(X, np.empty((60, 0)), weight)
    fitted = location.fit_intercepts(z, n_sweeps=2000)
    keys = [cell_keys(X, level) for level in location.levels_]
    design = np.hstack([(k[:, None] == np.unique(k)[None, :]).astype(float) for k in keys])
    mean = np.average(z, weights=weight)
    gram = (design * weight[:, None]).T @ design + 3.0 * np.eye(design.shape[1])
    expected = mean + design @ np.linalg.solve(gram, design.T @ (weight * (z - mean)))
    np.testing.assert_allclose(fitted, expected, atol=1e-8)
    np.testing.assert_allclose(location.intercept(X), expected, atol=1e-8)


def test_slopes_of_one_group_are_the_ridge_solution() -> None:
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"model": ["a"] * 80})
    features, z = rng.normal(size=(80, 3)), rng.normal(size=80)
    location = PooledLocation(slope_penalty=5.0).prepare(X, features, np.ones(80))
    location.fit(z)
    ridge = np.linalg.solve(features.T @ features + 5.0 * np.eye(3), features.T @ (z - z.mean()))
    np.testing.assert_allclose(location.text_effect(X, features), features @ ridge, atol=1e-10)


def test_a_cell_never_seen_gets_what_its_model_and_benchmark_say() -> None:
    X = pd.DataFrame({"model": ["a", "a", "b"] * 200, "benchmark": ["u", "v", "u"] * 200})
    z = np.array([1.0, 3.0, 2.0] * 200)
    location = PooledLocation(intercept_penalty=0.01).prepare(X, np.empty((600, 0)), np.ones(600))
    location.fit_intercepts(z, n_sweeps=3000)
    unseen = pd.DataFrame({"model": ["b", "zzz", "zzz"], "benchmark": ["v", "u", "zzz"]})
    guess = location.intercept(unseen)
    assert guess[0] > location.intercept(X.iloc[2:3])[0] + 0.3  # v is longer than u, so for b too
    assert guess[2] == pytest.approx(z.mean())


def test_small_cells_take_the_quantiles_of_their_parent() -> None:
    rng = np.random.default_rng(2)
    X = pd.DataFrame({"model": ["a"] * 2000 + ["b"] * 2})
    values = np.r_[rng.normal(size=2000), [50.0, 50.0]]
    pooled = PooledQuantiles((("model",),), penalty=20.0).fit(X, values, np.ones(2002))
    codes, curves = pooled.lookup(pd.DataFrame({"model": ["a", "b", "new"]}))
    middle = evaluate_curves(curves, np.array([0.5]))[codes, 0]
    assert middle[0] == pytest.approx(0.0, abs=0.1)
    assert middle[1] == pytest.approx((2 * 50.0 + 20 * 0.0) / 22, abs=0.1)
    assert middle[2] == pytest.approx(0.0, abs=0.1)


# -- heads -----------------------------------------------------------------------------------------
def _normal_curve() -> np.ndarray:
    return stats.norm.ppf(GRID)[None, :]


def test_heads_on_the_curve_give_the_curve_back() -> None:
    codes = np.zeros(4, dtype=np.intp)
    heads = Heads.cold(np.tile(stats.norm.ppf(HEAD_LEVELS), (4, 1)), codes, _normal_curve())
    levels = np.array([0.01, 0.3, 0.5, 0.6, 0.97])
    np.testing.assert_allclose(join_heads(heads, levels)[0], stats.norm.ppf(levels), atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=9, max_size=9))
def test_joined_heads_do_not_cross_and_pass_through_the_heads(values: list[float]) -> None:
    codes = np.zeros(1, dtype=np.intp)
    heads = Heads(np.array([values]), codes, _normal_curve(), codes)
    levels = np.linspace(0.001, 0.999, 333)
    assert (np.diff(join_heads(heads, levels)[0]) >= -1e-9).all()
    np.testing.assert_allclose(join_heads(heads, np.array(HEAD_LEVELS))[0], sorted(values), atol=1e-9)


def test_moving_a_normal_curve_gives_the_conditional_normal() -> None:
    centre, shape = moved_curves(_normal_curve(), np.zeros(1, dtype=np.intp), np.array([0.7]), np.array([0.5]))
    np.testing.assert_allclose(centre + shape[0], 0.7 + 0.5 * stats.norm.ppf(HEAD_LEVELS), atol=0.01)


# -- censoring -------------------------------------------------------------------------------------
def test_without_censoring_the_distribution_is_the_empirical_one() -> None:
    values = np.array([3.0, 1.0, 2.0, 4.0])
    found = ResidualDistribution().fit(values, np.zeros(4, dtype=bool), np.ones(4))
    assert found.mean_beyond(np.array([-9.0, 2.5])).tolist() == [2.5, 3.5]


def test_product_limit_of_the_textbook_example() -> None:
    # Times 1, 2+, 3, 4: S(1) = 3/4, S(3) = 3/4 * 1/2, S(4) = 0 (Kaplan & Meier 1958).
    found = ResidualDistribution().fit(
        np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, False]), np.ones(4)
    )
    np.testing.assert_allclose(found.points_, [1.0, 3.0, 4.0])
    np.testing.assert_allclose(found.mass_, [0.25, 0.375, 0.375])


def test_a_bound_beyond_everything_seen_is_exceeded() -> None:
    found = ResidualDistribution().fit(np.array([0.0, 1.0, 2.0]), np.zeros(3, dtype=bool), np.ones(3))
    assert found.mean_beyond(np.array([10.0]))[0] > 10.0
    assert found.draw_beyond(np.array([10.0]), np.array([0.5]))[0] > 10.0


def test_draws_beyond_a_bound_have_the_conditional_distribution() -> None:
    rng = np.random.default_rng(3)
    found = ResidualDistribution().fit(rng.normal(size=50_000), np.zeros(50_000, dtype=bool), np.ones(50_000))
    drawn = found.draw_beyond(np.full(20_000, 0.5), rng.random(20_000))
    expected = stats.truncnorm(0.5, np.inf)
    # Four standard errors of the mean and of the median of 20,000 draws are about .013.
    assert drawn.mean() == pytest.approx(expected.mean(), abs=0.015)
    assert np.median(drawn) == pytest.approx(expected.median(), abs=0.015)


# -- what known runs say -----------------------------------------------------------------------------
def _normal_pair_scores(n: int, correlation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    return first, correlation * first + np.sqrt(1 - correlation**2) * rng.normal(size=n)


def test_effects_of_queries_are_found_from_the_correlation_and_conditions_on_it() -> None:
    first, second = _normal_pair_scores(20_000, 0.6)
    configs = np.repeat(np.array(["a", "b"], dtype=object), 20_000)
    queries = np.tile(np.arange(20_000).astype(str).astype(object), 2)
    benchmarks = np.full(40_000, "u", dtype=object)
    effects = QueryEffects.fit(configs, benchmarks, queries, np.r_[first, second])
    context = ContextRuns(
        np.array([0]), np.array(["a"], dtype=object), np.ones(1), np.ones(1), np.array([False]), np.full((1, 3), np.nan)
    )
    mean, deviation = effects.condition(np.array(["b", "b"], dtype=object), np.array(["u", "u"], dtype=object), context)
    assert mean[0] == pytest.approx(0.6, abs=0.02)
    assert deviation[0] == pytest.approx(0.8, abs=0.02)
    assert (mean[1], deviation[1]) == (0.0, pytest.approx(1.0))


def test_noise_of_a_run_is_the_variance_within_a_query() -> None:
    rng = np.random.default_rng(4)
    effect = np.repeat(rng.normal(size=4000) * np.sqrt(0.8), 3)
    scores = effect + rng.normal(size=12_000) * np.sqrt(0.2)
    queries = np.repeat(np.arange(4000).astype(str).astype(object), 3)
    configs, benchmarks = np.full(12_000, "a", dtype=object), np.full(12_000, "u", dtype=object)
    effects = QueryEffects.fit(configs, benchmarks, queries, scores)
    assert effects.noise["a"] == pytest.approx(0.2, abs=0.01)
    pilots = ContextRuns(
        np.array([0, 0]), configs[:2], np.ones(2), np.ones(2), np.array([True, True]), np.full((2, 3), np.nan)
    )
    mean, deviation = effects.condition(configs[:1], benchmarks[:1], pilots)
    # Two runs at 1: the best linear guess is .8 / (.8 + .2 / 2), and what is left 1 - .8^2 / .9.
    assert mean[0] == pytest.approx(0.8 / 0.9, abs=0.02)
    assert deviation[0] == pytest.approx(np.sqrt(1 - 0.64 / 0.9), abs=0.02)


def test_runs_on_models_never_seen_say_nothing_unless_they_are_pilots() -> None:
    first, second = _normal_pair_scores(200, 0.6)
    configs = np.repeat(np.array(["a", "b"], dtype=object), 200)
    queries = np.tile(np.arange(200).astype(str).astype(object), 2)
    effects = QueryEffects.fit(configs, np.full(400, "u", dtype=object), queries, np.r_[first, second])
    for is_pilot, informed in ((False, False), (True, True)):
        nothing_told = np.full((1, 3), np.nan)
        context = ContextRuns(
            np.array([0]), np.array(["new"], dtype=object), np.ones(1), np.ones(1), np.array([is_pilot]), nothing_told
        )
        mean, _ = effects.condition(np.array(["new"], dtype=object), np.array(["u"], dtype=object), context)
        assert (mean[0] > 0.1) == informed


def test_scores_of_lower_bounds_are_expected_scores_beyond_them() -> None:
    curves = _normal_curve()
    codes = np.zeros(2, dtype=np.intp)
    found = normal_scores(np.array([0.5, 0.5]), np.array([False, True]), codes, curves)
    assert found[0] == pytest.approx(0.5, abs=0.01)
    assert found[1] == pytest.approx(stats.truncnorm(0.5, np.inf).mean(), abs=0.01)


def test_context_survives_the_way_through_list_columns() -> None:
    requests = pd.DataFrame({"query_id": ["q", "r"], "model": ["a", "a"], "prompt_text": ["t", "u"]}, index=[7, 9])
    runs = pd.DataFrame(
        {"query_id": ["q", "q", "s"], "model": ["b", "a", "a"], "output_tokens": [10, 20, 30],
         "is_censored": [True, False, False]}
    )  # fmt: skip
    known = flatten_context(attach_context(requests, runs))
    assert known is not None
    assert known.target.tolist() == [0, 0]
    assert known.frame["model"].tolist() == ["b", "a"]
    assert known.output_tokens.tolist() == [10.0, 20.0]
    assert known.is_censored.tolist() == [True, False]
    warm = attach_context(requests, runs, pilots=False)
    assert warm.loc[7, "context_models"] == ["b"]
    assert warm.loc[9, "context_models"] == []
    assert flatten_context(requests) is None


def test_sampled_context_is_of_the_same_query_and_never_the_run_itself() -> None:
    rng = np.random.default_rng(5)
    queries = np.repeat(np.arange(50).astype(str).astype(object), 6)
    configs = np.tile(np.array(["a", "a", "b", "b", "c", "c"], dtype=object), 50)
    target, source = sample_context(queries, configs, rng, pilots=True)
    assert (queries[target] == queries[source]).all()
    assert (target != source).all()
    pairs = pd.DataFrame({"target": target, "source": source, "config": configs[source]})
    assert not pairs.duplicated(["target", "source"]).any()
    # Half of the runs may know one run of each configuration, the other half all of them.
    several = pairs.duplicated(["target", "config"], keep=False).groupby(pairs["target"]).any().mean()
    assert 0.2 < several < 0.6
    is_pilot = configs[target] == configs[source]
    alone = pd.Series(is_pilot).groupby(target).agg(["any", "all"])
    assert 0.2 < alone.loc[alone["any"], "all"].mean() < 0.45
    warm_target, warm_source = sample_context(queries, configs, rng, pilots=False)
    assert (configs[warm_target] != configs[warm_source]).all()


# -- calibration -------------------------------------------------------------------------------------
def test_calibration_moves_biased_heads_back_and_shrinks_small_cells() -> None:
    rng = np.random.default_rng(6)
    cells = np.array(["big"] * 5000 + ["small"] * 10, dtype=object)
    z = np.r_[rng.normal(size=5000), rng.normal(size=10) + 100]
    heads = np.tile(stats.norm.ppf(HEAD_LEVELS) - 2.0, (5010, 1))
    found = Calibration().fit_offsets(cells, z, heads, np.ones(5010))
    np.testing.assert_allclose(found.offsets_at(np.array(["big"], dtype=object))[0], 2.0, atol=0.15)
    small = found.cell_offsets["small"][HEAD_LEVELS.index(0.5)]
    assert small == pytest.approx((10 * 102 + 50 * 2) / 60, abs=1.0)
    np.testing.assert_array_equal(found.offsets_at(np.array(["unseen"], dtype=object))[0], found.offsets)
    assert Calibration.from_state(found.state()).cell_offsets.keys() == found.cell_offsets.keys()


def test_the_factor_of_the_mean_makes_bills_add_up() -> None:
    cells = np.full(10_000, "c", dtype=object)
    billed, means = np.full(10_000, 300.0), np.full(10_000, 100.0)
    found = Calibration().fit_factors(cells, billed, means, np.ones(10_000))
    np.testing.assert_allclose(found.factors_at(cells[:1]), 3.0, rtol=1e-6)


def test_too_few_outcomes_calibrate_nothing() -> None:
    cells = np.full(5, "c", dtype=object)
    found = Calibration().fit_offsets(cells, np.ones(5), np.zeros((5, len(HEAD_LEVELS))), np.ones(5))
    assert not found.offsets.any()


def test_runs_without_a_query_are_refused_with_the_column_that_is_missing() -> None:
    """It was a bare KeyError."""
    requests = pd.DataFrame({"model": ["m"], "prompt_text": ["text"]})
    runs = requests.assign(query_id="q", output_tokens=5.0)
    with pytest.raises(InvalidInputError, match=r"`requests` lacks the columns \['query_id'\]"):
        attach_context(requests, runs)
    with pytest.raises(InvalidInputError, match=r"`runs` lacks the columns \['output_tokens', 'query_id'\]"):
        attach_context(requests.assign(query_id="q"), requests)
