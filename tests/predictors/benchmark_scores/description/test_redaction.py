"""Redaction removes what PRECOG forbids, keeps what it allows, reports, and is checked."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.benchmark_scores.description.redaction import (
    MAX_FIELD_CHARS,
    check_leaks,
    redact,
    redact_descriptions,
)
from foretell.predictors.errors import InvalidInputError


def kinds(text: str, **options: object) -> set[str]:
    return {kind for kind, _ in redact(text, **options)[1]}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind", "gone"),
    [
        ("See https://example.org/data for the files.", "url", "example"),
        ("Models reach 87.3% on it.", "score", "87"),
        ("The best system has an F1 of 0.91 so far.", "score", "0.91"),
        ("Collected in 2019 from forums.", "year", "2019"),
        ("It has 12,804 comments in total.", "count", "12,804"),
        ("Labelled by four trained annotators.", "count", "four"),
        ("Comments on the page of the Stanford group.", "proper noun", "Stanford"),
        ("```Answer the question: {q}``` is given.", "prompt", "question: {q}"),
        ('We ask "Is the following statement true or is it false?" each time.', "prompt", "statement"),
    ],
)
def test_forbidden_parts_are_removed_and_reported(text: str, kind: str, gone: str) -> None:
    done, removals = redact(text)
    assert gone not in done
    assert kind in {k for k, _ in removals}


def test_class_counts_and_languages_are_kept() -> None:
    done, _ = redact("German texts of 2020 with 5 different news categories and 3 classes, 77 intents and 6,000 rows.")
    assert "German" in done
    for kept in ("5 different news categories", "3 classes", "77 intents"):
        assert kept in done
    assert "6,000" not in done
    assert "2020" not in done


@pytest.mark.parametrize(
    "text",
    [
        "Texts with 6 labels, collected in 2015.",
        "In 2014 texts with 6 labels were collected, in 2015 rated, on 3,000 pages in 2019.",
        "2015 texts with 6 labels and 12 topics of 2016",
    ],
)
def test_class_counts_are_kept_beside_years(text: str) -> None:
    """A count of classes that stood before a later year was removed with it."""
    done, _ = redact(text)
    assert "6 labels" in done
    assert ("12 topics" in done) == ("12 topics" in text)
    assert not any(year in done for year in ("2014", "2015", "2016", "2019", "3,000"))


@pytest.mark.parametrize("spelling", ["Banking77", "banking 77", "BANKING-77", "banking_77"])
def test_a_name_is_removed_in_every_spelling(spelling: str) -> None:
    assert "anking" not in redact(f"the set {spelling} of intents", names=["Banking77"])[0].lower()


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=300))
def test_redaction_is_idempotent_on_forbidden_patterns(text: str) -> None:
    once, _ = redact(text)
    assert not {"url", "score", "year"} & kinds(once)


@pytest.mark.parametrize("text", ["0C%", "accu Foo racy 91.3", "20Foo19", "(10 K) articles"])
def test_what_a_removal_brings_together_is_removed_too(text: str) -> None:
    once, _ = redact(text)
    assert redact(once)[0] == once
    assert not any(character.isdigit() for character in once)


def test_a_huge_text_is_cut() -> None:
    assert len(redact("word " * 20_000)[0]) <= MAX_FIELD_CHARS


def test_the_report_names_benchmark_field_and_what_was_removed() -> None:
    table = pd.DataFrame({"benchmark": ["FooBench"], "task": ["the FooBench corpus of 2021"], "subset": [None]})
    redacted, report = redact_descriptions(table)
    check_leaks(redacted)
    assert set(report["removed"]) == {"FooBench", "2021"}
    assert set(report["field"]) == {"task"}
    assert redacted["subset"].isna().all()


def test_a_name_left_in_is_caught() -> None:
    table = pd.DataFrame({"benchmark": ["FooBench"], "task": ["questions of foo bench about cars"]})
    with pytest.raises(InvalidInputError, match="its name survives as 'foo bench'"):
        check_leaks(table)


@pytest.mark.parametrize("written", ["models reach 63.4 here", "models reach 0.634 here"])
def test_a_score_left_in_is_caught(written: str) -> None:
    table = pd.DataFrame({"benchmark": ["FooBench"], "task": [written]})
    with pytest.raises(InvalidInputError, match="its score survives"):
        check_leaks(table, {"FooBench": [63.41]})
    check_leaks(table, {"FooBench": [12.0]})
