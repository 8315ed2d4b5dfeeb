"""Versions that today's classes cannot read answer, are judged and rolled back to, through the code they carry."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families import get_family
from foretell.assets.judging.pipeline import forecasts_by_cell
from foretell.assets.registry.carried import CarriedPredictor
from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.serving import forecast_frame
from tests.archives import unpack
from tests.predictors.test_all_predictors import EXAMPLES

ARCHIVES = ("former_versions", "code_path_versions")
FAMILIES = ("benchmark_scores", "learning_curves", "downstream_scaling")
VERSIONS = [(archive, family) for archive in ARCHIVES for family in FAMILIES]
VERSIONS.append(("code_path_versions", "thinking_tokens"))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=ARCHIVES)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of two versions of each family; `tests/fixtures/make_former_versions.py` says how it was made."""
    folder = tmp_path_factory.mktemp("former")
    unpack(Path(__file__).parents[1] / "fixtures" / f"{request.param}.tar.xz", folder)
    made = Settings(home=folder / "home")
    open_home(made)
    return made


def inputs(settings: Settings, family: str, number: str) -> pd.DataFrame:
    return pd.read_json(settings.home / "answers" / f"{family}-{number}.inputs.json", orient="records")


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("settings", "family"), VERSIONS, indirect=["settings"])
def test_they_answer_what_they_answered_when_they_were_made(settings: Settings, family: str) -> None:
    # The command line refused them and told to retrain: a rollback to them was impossible.
    registry = settings.open_registry()
    medians = []
    for version in registry.family(family).versions:
        predictor = registry.load(version)
        assert isinstance(predictor, CarriedPredictor)
        assert predictor.family == family
        assert type(predictor).__name__.startswith("Former")
        X = inputs(settings, family, version.version)
        answers = forecast_frame(predictor, X)
        before = pd.read_json(settings.home / "answers" / f"{family}-{version.version}.json", orient="records")
        pd.testing.assert_frame_equal(answers[list(before)], before, check_dtype=False, rtol=1e-6)
        again = pickle.loads(pickle.dumps(predictor))  # noqa: S301  what an engine does with it
        pd.testing.assert_frame_equal(forecast_frame(again, X), answers)
        medians.append(predictor.predict(inputs(settings, family, "1")).to_numpy())
    assert not np.allclose(*medians)


@pytest.mark.parametrize(("settings", "family"), VERSIONS, indirect=["settings"])
def test_they_are_compared_with_a_challenger_of_today(settings: Settings, family: str) -> None:
    registry = settings.open_registry()
    today = get_family(family).baselines()[get_family(family).reference]
    data = EXAMPLES[family](3)
    today.fit(data.X, data.y, groups=data.groups)
    rows = data.X.assign(cell_id=data.X.index.astype("str"))
    both = {"champion": registry.load(registry.champion(family)), "challenger": today}
    forecasts = forecasts_by_cell(get_family(family), both, rows)
    assert forecasts["champion"].index.equals(forecasts["challenger"].index)
    assert forecasts["champion"].notna().all(axis=None)


@pytest.mark.parametrize("settings", ["code_path_versions"], indirect=True)
def test_what_needs_a_class_of_today_names_the_remedy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from foretell.pipelines.cli.app import main

    monkeypatch.setenv("FORETELL_HOME", str(settings.home))
    monkeypatch.setattr("sys.argv", ["foretell", "quote", "examples/inputs/requests.jsonl", "--model", "gpt-5"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "run `foretell retrain thinking_tokens`" in capsys.readouterr().err


def test_what_their_own_code_refuses_is_an_error_of_today(settings: Settings) -> None:
    registry = settings.open_registry()
    predictor = registry.load(registry.champion("benchmark_scores"))
    with pytest.raises(InvalidInputError, match=r"breaks ScoreRequests|points|shares"):
        forecast_frame(predictor, pd.DataFrame({"known_models": [["a"]], "known_scores": [[0.3, 0.4]]}))


def test_one_without_its_code_is_refused(settings: Settings) -> None:
    registry = settings.open_registry()
    codes = list((settings.home / "mlflow" / "artifacts" / "benchmark_scores").rglob("code"))
    assert len(codes) == 2
    for code in codes:
        code.rename(code.with_name("code_elsewhere"))
    with pytest.raises(DatasetError, match="run `foretell retrain benchmark_scores`"):
        registry.load(registry.champion("benchmark_scores"))
    for code in codes:
        code.with_name("code_elsewhere").rename(code)


@pytest.mark.parametrize(("settings", "family"), VERSIONS, indirect=["settings"])
def test_the_command_line_asks_them_and_rolls_back(
    settings: Settings, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from foretell.pipelines.cli.app import main

    def output_of(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["foretell", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    monkeypatch.setenv("FORETELL_HOME", str(settings.home))
    file = tmp_path / "inputs.jsonl"
    data = EXAMPLES[family](0).X.head(2)
    data.to_json(file, orient="records", lines=True)
    asked = ("predict", family, str(file), "--json")
    second = rows_of(output_of(*asked))
    assert "version 1" in output_of("rollback", family, "--why", "a test")
    first = rows_of(output_of(*asked))
    assert [row["median"] for row in first] != [row["median"] for row in second]
    listed = rows_of(output_of("models", "--json"))
    assert {row["version"]: row["alias"] for row in listed if row["family"] == family} == {1: "champion", 2: None}
