"""Drift: a worse forecast, moved noise and other requests are told apart, and the same night gives the same row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.nightly.drift import HISTORY, input_shift, night_row, training_rows, with_night
from foretell.assets.registry.policy import Policy
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import ModelBaseline

FIRST_DAY = pd.Timestamp("2026-01-01", tz="UTC")
POLICY = Policy(min_window_queries=20, drift_base_nights=10)
EMPTY = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in HISTORY.items()})


def nights(
    first: int, n: int, *, shift: float = 0.0, spread: float = 0.5, runs: int = 2, seed: int = 0
) -> pd.DataFrame:
    """New queries every night, `runs` runs each; `shift` moves the log tokens, `spread` the noise."""
    rng = np.random.default_rng(seed + first)
    queries = np.arange(40 * n)
    frame = pd.DataFrame(
        {
            "query_id": [f"q{first}-{i}" for i in queries],
            "model": rng.choice(["short", "long"], queries.size),
            "benchmark": "b",
            "started_at": FIRST_DAY + pd.to_timedelta(first + queries // 40, unit="D"),
            "is_censored": False,
            "is_capped": False,
            "repeat_prob": 1.0,
        }
    )
    frame["cell_id"] = frame["query_id"]
    frame["split"] = assign_split(frame["query_id"])
    level = np.where(frame["model"] == "long", 5.0, 4.0) + shift
    parts = [frame.assign(replicate=i, value=np.exp(rng.normal(level, spread))) for i in range(runs)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def champion() -> ModelBaseline:
    learn = nights(0, 10)
    return ModelBaseline().fit(FAMILY.inputs(learn), learn["value"], groups=learn["query_id"])


def history_of(
    champion: ModelBaseline, examples: pd.DataFrame, first: int, last: int, policy: Policy = POLICY
) -> pd.DataFrame:
    history = EMPTY
    for night in range(first, last):
        rows = examples[examples["started_at"] < FIRST_DAY + pd.Timedelta(days=night + 1)]
        row = night_row(
            FAMILY, champion, "1", rows, history, learnt_tonight=False, base_nights=policy.drift_base_nights
        )
        history = with_night(history, row, policy)
    return history


def test_quiet_nights_raise_no_alarm_and_keep_the_whole_window(champion) -> None:
    examples = nights(10, 30)
    history = history_of(champion, examples, 10, 40, Policy())
    assert set(history["verdict"]) == {"ok"}
    assert len(history) == 30
    pd.testing.assert_frame_equal(training_rows(examples, history, POLICY), examples)


@pytest.mark.parametrize(("runs", "verdict"), [(2, "forecast drifted"), (1, "ambiguous")])
def test_worse_forecast_is_found_and_training_starts_anew_where_it_began(champion, runs: int, verdict: str) -> None:
    examples = pd.concat([nights(10, 15, runs=runs), nights(25, 6, shift=0.8, runs=runs)], ignore_index=True)
    history = history_of(champion, examples, 10, 30)
    alarm = history[history["verdict"] != "ok"].iloc[0]
    assert alarm["verdict"] == verdict
    assert "2026-01-26" <= alarm["night"] <= "2026-01-30"
    assert alarm["since"] in ("2026-01-25", "2026-01-26")
    window = training_rows(examples, history, POLICY)
    assert window["started_at"].min() >= FIRST_DAY + pd.Timedelta(days=24)


def test_moved_noise_alone_asks_for_no_new_window(champion) -> None:
    examples = pd.concat([nights(10, 15), nights(25, 6, spread=1.0)], ignore_index=True)
    history = history_of(champion, examples, 10, 31)
    assert "noise moved" in set(history["verdict"])
    assert "forecast drifted" not in set(history["verdict"])
    assert len(training_rows(examples, history, POLICY)) == len(examples)


def test_same_night_again_gives_the_same_history(champion) -> None:
    examples = nights(10, 14)
    history = history_of(champion, examples, 10, 24)
    row = night_row(FAMILY, champion, "1", examples, history.iloc[:-1], learnt_tonight=False, base_nights=10)
    pd.testing.assert_frame_equal(with_night(history, row, POLICY), history)


def test_tonights_alarm_does_not_change_tonights_window(champion) -> None:
    examples = pd.concat([nights(10, 15), nights(25, 3, shift=1.5)], ignore_index=True)
    history = history_of(champion, examples, 10, 28)
    first_alarm = history.loc[history["verdict"] != "ok", "night"].iloc[0]
    until = examples[examples["started_at"] <= pd.Timestamp(first_alarm, tz="UTC")]
    assert len(training_rows(until, history, POLICY)) == len(until)


def test_new_champion_starts_the_monitor_anew() -> None:
    rows = [
        {"night": f"2026-01-{d:02d}", "champion": "1" if d < 15 else "2", "n_queries": 40, "has_repeats": True,
         "excess": 0.1 if d < 15 else 0.5, "excess_error": 0.05, "floor": 0.2, "floor_error": 0.02,
         "base_excess": np.nan, "base_error": np.nan,
         "psi": 0.0, "psi_column": "", "psi_p_value": 1.0, "verdict": "", "since": ""}
        for d in range(1, 29)
    ]  # fmt: skip
    history = with_night(pd.DataFrame(rows[:-1]).astype(HISTORY), rows[-1], POLICY)
    assert len(history) == len(rows)
    assert set(history["verdict"]) == {"ok"}


def test_too_few_queries_or_no_days_give_no_row(champion) -> None:
    few = nights(10, 1).head(5)
    assert night_row(FAMILY, champion, "1", few, EMPTY, learnt_tonight=False) is None
    undated = nights(10, 2).assign(started_at=pd.Series(pd.NaT, dtype="datetime64[us, UTC]"))
    assert night_row(FAMILY, champion, "1", undated, EMPTY, learnt_tonight=False) is None


def test_champion_of_tonight_is_watched_on_held_out_queries_only(champion) -> None:
    examples = nights(10, 1)
    own = night_row(FAMILY, champion, "1", examples, EMPTY, learnt_tonight=False)
    assert own["n_queries"] == 40
    n_test = examples.loc[examples["split"] == "test", "query_id"].nunique()
    held_out = night_row(FAMILY, champion, "1", examples, EMPTY, learnt_tonight=True)
    assert (held_out is None) if n_test < 10 else (held_out["n_queries"] == n_test)


def test_input_shift_is_zero_for_the_same_and_large_for_other_requests() -> None:
    rng = np.random.default_rng(0)
    before = pd.DataFrame({"model": rng.choice(["a", "b"], 4000), "input_tokens": rng.lognormal(5, 1, 4000)})
    same = pd.DataFrame({"model": rng.choice(["a", "b"], 300), "input_tokens": rng.lognormal(5, 1, 300)})
    found = input_shift(same, before)
    assert not found.is_large
    assert found.psi < 0.1
    longer = same.assign(input_tokens=rng.lognormal(6.5, 1, 300))
    assert input_shift(longer, before).column == "input_tokens"
    assert input_shift(longer, before).is_large
    new_model = same.assign(model=rng.choice(["a", "c"], 300))
    assert input_shift(new_model, before).column == "model"
    assert input_shift(new_model, before).is_large


def test_input_shift_of_small_nights_is_rarely_called_large() -> None:
    rng = np.random.default_rng(1)
    before = pd.DataFrame({"model": rng.choice(list("abcd"), 4000)})
    large = [input_shift(pd.DataFrame({"model": rng.choice(list("abcd"), 20)}), before).is_large for _ in range(300)]
    assert sum(large) <= 3


def test_missing_and_empty_columns_are_no_error() -> None:
    frame = pd.DataFrame({"model": ["a", None], "limit": [np.nan, np.nan], "text": ["x", "y"]})
    assert not input_shift(frame, frame).is_large
    assert np.isnan(input_shift(frame.head(0), frame).psi)


def test_change_right_after_a_promotion_is_seen_against_held_out_queries_of_before(champion) -> None:
    examples = pd.concat([nights(10, 20), nights(30, 6, shift=0.8)], ignore_index=True)
    history = EMPTY
    for night in range(25, 36):
        rows = examples[examples["started_at"] < FIRST_DAY + pd.Timedelta(days=night + 1)]
        version = "1" if night < 29 else "2"  # the same model under a new number, one night before the change
        row = night_row(FAMILY, champion, version, rows, history, learnt_tonight=False)
        history = with_night(history, row, Policy())
    assert np.isfinite(history["base_excess"]).all()
    alarm = history.loc[history["verdict"] == "forecast drifted", "night"]
    assert len(alarm) >= 1
    assert alarm.iloc[0] <= "2026-02-03"


def test_where_queries_return_held_out_nights_are_compared_with_held_out_ones() -> None:
    # Ladders: targets are the largest models, rows to learn from smaller and harder ones. A new champion's base rested
    # on the former and its nights on both, so that every promotion was followed by a false alarm.
    family = replace(FAMILY, fresh_by="cell_id")
    examples = nights(10, 40)
    harder = examples["split"] != "test"
    cell = pd.factorize(examples["cell_id"])[0]
    level = np.random.default_rng(0).normal(0, 1.5, len(examples))[cell]
    examples.loc[harder, "value"] *= np.exp(level[harder])
    learn = nights(0, 10)
    champion = ModelBaseline().fit(FAMILY.inputs(learn), learn["value"], groups=learn["query_id"])
    history = EMPTY
    for night in range(25, 45):
        rows = examples[examples["started_at"] < FIRST_DAY + pd.Timedelta(days=night + 1)]
        row = night_row(family, champion, "1", rows, history, learnt_tonight=False)
        history = history if row is None else with_night(history, row, POLICY)
    assert len(history) > 5
    assert np.isfinite(history["base_excess"]).all()
    assert set(history["verdict"]) == {"ok"}
