"""A predictor is opened from the registry of the installation, by champion, alias or number."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import foretell
from foretell.pipelines.cli.forecast.champion import load_champion
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError

REQUESTS = pd.DataFrame({"model": ["SmolLM2-135M-Instruct"], "prompt_text": ["What is 2 + 2?"]})


@pytest.mark.parametrize("source", [None, "models:/thinking_tokens@champion", "models:/thinking_tokens/2"])
def test_registered_versions_are_opened(installed, source: str | None) -> None:
    predictor = load_champion(installed.settings, "thinking_tokens", source)
    champion = installed.settings.open_registry().champion("thinking_tokens")
    expected = installed.settings.open_registry().load(champion)
    assert predictor.predict(REQUESTS).tolist() == expected.predict(REQUESTS).tolist()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("models:/thinking_tokens@nobody", "thinking_tokens@nobody does not exist yet: run `foretell retrain"),
        ("models:/thinking_tokens/99", "thinking_tokens has no version 99"),
        ("models:/thinking_tokens", "does not exist yet"),
    ],
)
def test_versions_that_are_not_there_are_named(installed, source: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        load_champion(installed.settings, "thinking_tokens", source)


def test_notebook_quotes_with_the_champion_of_its_home(installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(installed.settings.home))
    totals = foretell.quote(["What is 2 + 2?"], ["SmolLM2-135M-Instruct"], budget_usd=1.0).totals
    assert totals["is_known_model"].tolist() == [True]


def test_home_without_a_champion_is_answered_by_what_came_with_the_package_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path / "home")
    predictor = load_champion(settings, "thinking_tokens")
    assert "no version of thinking_tokens is registered here" in capsys.readouterr().err
    asked = pd.DataFrame({"model": ["openai/gpt-5-mini", "gpt-4o"], "benchmark": "gpqa"})
    assert predictor.known_of(asked).tolist() == ["cell", "model"]
    assert 500 < predictor.predict(asked).iloc[0] < 5_000, "its median there is some 2,000 tokens"
    assert not settings.home.exists(), "nothing is written to tell"


def test_a_family_of_which_nothing_came_with_the_package_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"models:/success@champion does not exist yet: run `foretell retrain success`"
    ):
        load_champion(Settings(home=tmp_path), "success")
