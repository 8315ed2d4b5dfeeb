"""What a language model is told of a score, how strictly its answer is read, and what weight its forecasts earn."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.base import LEVELS
from foretell.predictors.benchmark_scores.elicitation.pool import LEAST_GROUPS, LEAST_SCORED, Pool
from foretell.predictors.benchmark_scores.elicitation.prompt import KEYS, combined, messages_of, read_answer

GOOD = dict(zip(KEYS, (10, 20, 30.5, 40, 60), strict=True))


@pytest.mark.parametrize("text", [json.dumps(GOOD), f" {json.dumps(GOOD)}\n", f"```json\n{json.dumps(GOOD)}\n```"])
def test_an_answer_of_five_numbers_is_read(text: str) -> None:
    answer = read_answer(text)
    assert answer is not None
    assert answer.tolist() == [10, 20, 30.5, 40, 60]


@pytest.mark.parametrize(
    "text",
    [
        None, "", "about 40", "[1, 2, 3, 4, 5]", "{}", "NaN", f"My forecast: {json.dumps(GOOD)}",
        json.dumps({**GOOD, "q50": 15}), json.dumps({**GOOD, "q95": 101}), json.dumps({**GOOD, "q05": -1}),
        json.dumps({**GOOD, "q50": "30"}), json.dumps({**GOOD, "q50": True}), json.dumps({**GOOD, "q50": float("nan")}),
        json.dumps({**GOOD, "note": 1}), json.dumps({k: v for k, v in GOOD.items() if k != "q25"}),
    ],
)  # fmt: skip
def test_anything_else_is_no_forecast(text: str | None) -> None:
    assert read_answer(text) is None


def test_samples_are_combined_between_their_quantiles() -> None:
    one, other = np.array([10.0, 20, 30, 40, 50]), np.array([30.0, 40, 50, 60, 100])
    both = combined([one, other])
    assert ((both >= one) & (both <= other)).all()
    np.testing.assert_allclose(combined([one, one]), one)
    assert np.isnan(combined([])).all()


def test_what_is_told_holds_the_description_and_the_model_but_no_name_date_or_score_of_the_benchmark() -> None:
    request = {
        "benchmark": "SecretBench", "leak_group": "g7", "task": "Weigh zebras by photographs.", "metric": "accuracy",
        "n_classes": 4.0, "published_year": 2025.5, "known_models": ["gpt-4o"], "known_scores": [61.25],
        "model": "gpt-5.2", "release_year": 2025 + 11 / 12, "n_params": float("nan"), "is_reasoning": 1.0, 
        "input_usd_per_million": 1.75,
        "domain": None,
    }  # fmt: skip
    (message,) = messages_of(request)
    text = message["content"]
    for said in (
        "Weigh zebras",
        "gpt-5.2",
        "released: 2025-12",
        "n classes: 4",
        "reasons before it answers: yes",
        "1.75",
    ):
        assert said in text
    for unsaid in ("SecretBench", "g7", "2025.5", "61.25", "gpt-4o", "nan", "None", "$"):
        assert unsaid not in text
    assert "nothing is known of it" in messages_of({})[0]["content"]
    assert read_answer(text.strip().splitlines()[-1]) is None  # small models repeat the form that they are shown


def _scored(
    n_groups: int, per_group: int = 6, *, spread: float = 12.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """A predictor that knows nothing, scores, and their groups."""
    rng = np.random.default_rng(seed)
    groups = pd.Series([f"g{i // per_group}" for i in range(n_groups * per_group)])
    level = np.repeat(rng.uniform(15, 85, n_groups), per_group)
    score = np.clip(level + rng.normal(0, spread / 3, len(level)), 0, 100)
    ours = np.tile([8.0, 33, 50, 67, 92], (len(score), 1))
    return ours, score, groups


def _around(centre: np.ndarray, half: float = 8.0) -> np.ndarray:
    return np.clip(centre[:, None] + half * np.array([-1, -0.4, 0, 0.4, 1]), 0, 100)


def test_a_forecaster_that_is_right_earns_weight_and_its_pool_is_calibrated() -> None:
    ours, score, groups = _scored(60)
    rng = np.random.default_rng(1)
    theirs = _around(score + rng.normal(0, 4, len(score)), half=2)  # right, and far too sure
    half = len(score) // 2
    pool = Pool.fit(ours[:half], theirs[:half], score[:half], groups[:half])
    assert pool.weight >= 0.5
    assert "weight" in pool.said
    both = pool.apply(ours[half:], theirs[half:])
    later = score[half:]
    assert np.abs(both[:, 2] - later).mean() < 0.5 * np.abs(ours[half:, 2] - later).mean()
    assert 0.8 <= ((later >= both[:, 0]) & (later <= both[:, 4])).mean() <= 0.98
    assert ((later >= theirs[half:, 0]) & (later <= theirs[half:, 4])).mean() < 0.6


@pytest.mark.parametrize("seed", range(8))
def test_a_forecaster_of_noise_earns_none(seed: int) -> None:
    ours, score, groups = _scored(40, seed=seed)
    theirs = _around(np.random.default_rng(100 + seed).uniform(0, 100, len(score)))
    pool = Pool.fit(ours, theirs, score, groups)
    assert pool.weight == 0
    assert "did not forecast better" in pool.said
    assert pool.apply(ours, theirs) is ours


def test_the_weight_is_0_until_enough_forecasts_on_enough_groups_were_scored() -> None:
    for n_groups, per_group in ((LEAST_GROUPS - 1, 20), (LEAST_GROUPS, LEAST_SCORED // LEAST_GROUPS - 1)):
        ours, score, groups = _scored(n_groups, per_group)
        pool = Pool.fit(ours, _around(score), score, groups)
        assert pool.weight == 0
        assert f"it takes {LEAST_SCORED} on {LEAST_GROUPS}" in pool.said
        assert f"{n_groups * per_group} of its forecasts" in pool.said
    ours, score, groups = _scored(LEAST_GROUPS, 20)
    assert Pool.fit(ours, _around(score), score, groups).weight > 0


def test_rows_without_an_answer_keep_the_predictors_forecast() -> None:
    pool = Pool(0.5, np.zeros(len(LEVELS)), 100, 20)
    ours, theirs = np.tile([10.0, 20, 30, 40, 50], (2, 1)), np.tile([50.0, 60, 70, 80, 90], (2, 1))
    theirs[1] = np.nan
    both = pool.apply(ours, theirs)
    assert (both[0] > ours[0]).all()
    assert (both[0] < theirs[0]).all()
    np.testing.assert_allclose(both[1], ours[1])
