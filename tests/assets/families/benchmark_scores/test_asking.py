"""A benchmark in words and names of models: what is read, completed, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.assets.families.benchmark_scores.asking import LONGEST, ask_rows, with_metadata
from foretell.assets.families.benchmark_scores.examples import load_score_tables
from foretell.assets.store.sources import read_public
from foretell.pipelines.settings import Settings
from foretell.predictors.benchmark_scores.description.redaction import check_leaks
from foretell.predictors.errors import InvalidInputError

WORDS = "Pupils of a music school name the composer of a short melody by picking one of 4 options."
PUBLIC = Settings().sources.public


def test_words_and_names_become_rows_with_what_is_published_of_the_models() -> None:
    rows = ask_rows(WORDS, ["openai/gpt-5", "claude-haiku-4.5"], PUBLIC)
    assert rows["model"].tolist() == ["gpt-5", "claude-haiku-4-5"]
    assert rows["release_year"].between(2025, 2026).all()
    assert rows["input_usd_per_million"].notna().all()
    assert "composer" in rows["task"].iloc[0]
    assert rows["benchmark"].isna().all()


def test_a_file_of_fields_is_read(tmp_path: Path) -> None:
    path = tmp_path / "quiz.yaml"
    path.write_text(f"task: {WORDS}\nmetric: acc\nn_classes: 4\npublished: 2025-07\nknown_scores: {{gpt-4o: 61}}\n")
    rows = ask_rows(str(path), ["gpt-5"], PUBLIC)
    assert rows["metric"].tolist() == ["accuracy"]
    assert rows["published_year"].iloc[0] == pytest.approx(2025.5)
    assert rows["known_scores"].tolist() == [[61.0]]
    assert rows["known_models"].iloc[0][0].startswith("gpt-4o")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "says nothing"),
        ("quiz", "says nothing"),
        (f"{WORDS}\nThe best model reaches 43.2 % there.", r'a score at line 2, column 24 \("43.2 %"\)'),
        (f"{WORDS} Reported accuracy of 61.5 by others.", "states a score"),
        ("word " * LONGEST, "no description"),
        ('{"custom_id": "1", "body": {"messages": []}}', "looks like a file of requests"),
        (f"task: {WORDS}\nmetric: perplexity", "metric of the description 'perplexity'"),
        (f"task: {WORDS}\nmetrics: accuracy", "field of the description 'metrics'"),
        (f"task: {WORDS}\npublished: soon", "`published` must be a year"),
    ],
)
def test_what_is_no_description_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ask_rows(text, ["gpt-5"], PUBLIC)


def test_shots_and_options_are_no_scores() -> None:
    assert len(ask_rows(f"{WORDS} Accuracy with 5-shot prompts.", ["gpt-5"], PUBLIC)) == 1


def test_an_unknown_model_is_named_with_the_likely_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown model 'gtp-5' \(known: .*gpt-5"):
        ask_rows(WORDS, ["gtp-5"], PUBLIC)


def test_what_a_row_says_of_a_model_stays() -> None:
    rows = ask_rows(WORDS, ["gpt-5"], PUBLIC)[["model"]].assign(output_usd_per_million=99.0)
    assert with_metadata(rows, PUBLIC)["output_usd_per_million"].tolist() == [99.0]


def test_no_description_of_ours_names_its_benchmark_or_a_score() -> None:
    described = read_public(PUBLIC, "benchmark_descriptions")
    scores = read_public(PUBLIC, "modern_scores").groupby("benchmark")["score"].agg(list).to_dict()
    assert len(described) > 150
    redacted, *_ = load_score_tables("modern", Settings().sources)  # checks the redacted texts
    check_leaks(redacted, scores)
    texts = described[["task", "data_collection", "evaluation", "difficulty", "prompting_strategy"]]
    assert not texts.apply(lambda column: column.str.contains(r"\d+(?:\.\d+)? ?%", na=False)).any().any()
