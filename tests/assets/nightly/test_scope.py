"""A version that answers for models which the champion has never seen is in service the same night; nobody else is."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.thinking_tokens.family import FAMILY as THINKING_TOKENS
from foretell.assets.nightly.promotion import cell_name, judge_scope
from foretell.assets.registry.policy import Policy
from foretell.assets.registry.tracking import CHAMPION, SHADOW
from foretell.predictors.base import BasePredictor
from foretell.predictors.thinking_tokens.baselines import ModelBaseline
from tests.assets.nightly.nights import FAMILY, FIRST_DAY, night_of

NIGHTS = 12


def fit(rows: pd.DataFrame, scale: float = 1.0) -> ModelBaseline:
    learn = rows[rows["split"] != "test"]
    return ModelBaseline().fit(THINKING_TOKENS.inputs(learn), learn["value"] * scale, groups=learn["query_id"])


@pytest.fixture(scope="module")
def early(examples: pd.DataFrame) -> pd.DataFrame:
    return examples[examples["started_at"] < FIRST_DAY + pd.Timedelta(days=NIGHTS)]


@pytest.fixture(scope="module")
def champion(early: pd.DataFrame) -> ModelBaseline:
    """It has never seen the model `long`."""
    return fit(early[early["model"] == "short"])


def test_what_covers_a_new_model_is_champion_the_same_night(registry, examples, early, champion) -> None:
    night_of(registry, examples, champion, 1, NIGHTS)
    record = night_of(registry, examples, fit(early), 2, NIGHTS)
    assert (record.action, record.champion, record.former) == ("cover", "2", ("1",))
    assert registry.family(FAMILY).aliases == {CHAMPION: "2"}
    assert "version 2 is champion in place of version 1 by what it covers: gain" in record.reason
    assert "on long, which the champion has never seen" in registry.champion(FAMILY).tags["decision"]
    assert record.state.n_units == 0


def test_rows_without_a_day_are_enough(registry, examples, early, champion) -> None:
    undated = examples.assign(started_at=pd.NaT)
    for number, predictor in enumerate((champion, fit(early)), start=1):
        record = night_of(registry, examples, predictor, number, NIGHTS, rows=undated)
    assert record.champion == "2"
    assert record.reason.startswith("Rows without a day: version 2 is champion")


def test_a_shadow_is_let_go_when_another_version_covers_more(registry, examples, early, models) -> None:
    short = examples[examples["model"] == "short"]
    night_of(registry, short, fit(short[short["started_at"] < FIRST_DAY + pd.Timedelta(days=8)], scale=0.5), 1, 8)
    night_of(registry, short, models["good"], 2, NIGHTS)
    assert registry.family(FAMILY).aliases == {CHAMPION: "1", SHADOW: "2"}
    record = night_of(registry, examples, fit(early), 3, NIGHTS)
    assert (record.champion, record.shadow) == ("3", None)
    assert registry.family(FAMILY).aliases == {CHAMPION: "3"}
    assert "version 3 is champion" in registry.version(FAMILY, "2").tags["decision"]


def only_says_so(champion: BasePredictor) -> BasePredictor:
    """The champion again, which claims to have learnt from `long`."""
    claims = copy.copy(champion)
    claims.known_cells_ = champion.known_cells | {("long", "")}
    return claims


def test_what_only_claims_a_new_model_or_is_worse_elsewhere_is_not_let_in(registry, examples, early, champion) -> None:
    night_of(registry, examples, champion, 1, NIGHTS)
    claimed = night_of(registry, examples, only_says_so(champion), 2, NIGHTS)
    assert claimed.champion == "1"
    assert "By what it covers: long: new to the champion, but the gain there is z = " in claimed.reason
    worse = early.assign(value=early["value"] * np.where(early["model"] == "short", 2.0, 1.0))
    record = night_of(registry, examples, fit(worse), 3, NIGHTS)
    assert record.champion == "1"
    assert "not shown to be no worse" in record.reason


def test_what_forgets_a_model_that_is_still_asked_for_is_no_candidate(early, champion) -> None:
    only_long = fit(early[early["model"] == "long"])
    assert judge_scope(THINKING_TOKENS, only_long, champion, early, Policy()) is None


def test_a_champion_that_does_not_say_what_it_knows_is_judged_by_evidence(early, champion) -> None:
    silent = copy.copy(champion)
    del silent.known_cells_
    assert judge_scope(THINKING_TOKENS, fit(early), silent, early, Policy()) is None


def test_cells_are_named_for_people() -> None:
    assert [cell_name(cell) for cell in (("gpt-5", "high"), ("gpt-5", ""), ("",))] == [
        "gpt-5 high",
        "gpt-5",
        "(unnamed)",
    ]
