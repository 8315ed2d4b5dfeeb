"""Leak groups close over names, near duplicates and sources; a split that they straddle is caught."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.predictors.benchmark_scores.description import leakage
from foretell.predictors.benchmark_scores.description.leakage import (
    assign_folds,
    check_split_leaks,
    leak_groups,
    near_duplicates,
    without_boilerplate,
)
from foretell.predictors.errors import InvalidInputError

LONG = "Finding the statutes that apply to a described situation among many candidate statutes"
OTHER = "Grading how similar two short image captions are on a scale of meaning"


def test_versions_and_translations_share_a_group() -> None:
    names = ["ArguAna", "ArguAna-NL", "ArguAna-PL.v2", "SciFact"]
    groups = leak_groups(names, ["", "", "", ""], [None] * 4)
    assert groups == ["ArguAna", "ArguAna", "ArguAna", "SciFact"]


def test_near_duplicates_share_a_group() -> None:
    groups = leak_groups(["Alpha", "Beta", "Gamma"], [LONG, f"{LONG} today", OTHER], [None] * 3)
    assert groups == ["Alpha", "Alpha", "Gamma"]


def test_shared_sources_share_a_group_whatever_the_form_of_the_link() -> None:
    links = ["https://arxiv.org/abs/2104.07081", "http://arxiv.org/pdf/2104.07081.pdf", "https://example.org/x"]
    assert leak_groups(["Alpha", "Beta", "Gamma"], ["", "", ""], links) == ["Alpha", "Alpha", "Gamma"]


def test_groups_are_closed_under_chains() -> None:
    groups = leak_groups(["Alpha", "Alpha-NL", "Beta"], ["", LONG, LONG], [None] * 3)
    assert len(set(groups)) == 1


def test_boilerplate_does_not_join_what_is_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "NEAR_DUPLICATE", 0.3)
    names = ["Kite", "Lamp", "Moon", "Nest", "Opal"]
    said = ["Colours of toys", "Brands of lights", "Phases at night", "Birds of towns", "Stones in rings"]
    texts = [f"{own}. It was translated by an automated system whose outputs other models filtered and judged "
             "by several criteria of fluency, faithfulness and grammar." for own in said]  # fmt: skip
    assert near_duplicates(texts)
    assert len(set(leak_groups(names, texts, [None] * 5))) == 5
    assert without_boilerplate(names, texts)[0] == "colours of toys"


def test_a_straddling_group_is_caught() -> None:
    table = pd.DataFrame({"benchmark": ["A", "B"], "leak_group": ["g", "g"], "task": [LONG, OTHER]})
    check_split_leaks(table, pd.Series(["train", "train"]))
    with pytest.raises(InvalidInputError, match="1 leak groups straddle"):
        check_split_leaks(table, pd.Series(["train", "test"]))


def test_a_duplicate_description_across_the_split_is_caught() -> None:
    table = pd.DataFrame({"benchmark": ["A", "B"], "leak_group": ["g", "h"], "task": [LONG, LONG]})
    with pytest.raises(InvalidInputError, match="near-duplicate descriptions straddle"):
        check_split_leaks(table, pd.Series(["train", "test"]))


def test_folds_hold_whole_groups_are_balanced_and_do_not_depend_on_row_order() -> None:
    groups = pd.Series([f"g{i % 23}" for i in range(460)])
    folds = assign_folds(groups, 5)
    assert folds.groupby(groups).nunique().max() == 1
    assert folds.value_counts().max() - folds.value_counts().min() <= 20
    shuffled = groups.sample(frac=1, random_state=1)
    assert assign_folds(shuffled, 5).sort_index().equals(folds)
