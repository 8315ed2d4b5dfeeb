"""`foretell route` and the cost of a right answer in `quote`: by the champions of this installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretell.pipelines.cli.app import app
from foretell.pipelines.cli.forecast.quote import QuoteOptions, run_quote
from foretell.pipelines.cli.forecast.route import RouteOptions, run_route
from foretell.pipelines.cli.output import Output
from foretell.predictors.errors import DatasetError, InvalidInputError

MODEL = "SmolLM2-135M-Instruct"


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    lines = [{"prompt_text": "What is 2 + 2?", "benchmark": "arithmetic"}, {"prompt_text": "Name a colour."}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_quote_says_what_a_right_answer_costs(installed, requests: Path, capsys: pytest.CaptureFixture) -> None:
    run_quote(installed.settings, requests, QuoteOptions([MODEL]), Output(json=True))
    row = json.loads(capsys.readouterr().out)
    assert 0 < row["chance_of_success"] < 1
    assert "usd_per_right_answer" in row


def test_route_asks_the_champion_of_success(installed, requests: Path, tmp_path: Path) -> None:
    settings = installed.settings
    with pytest.raises(InvalidInputError, match=r"no run of \['unheard-of'\] was scored"):
        run_route(settings, requests, RouteOptions(budget=1.0, models=["unheard-of"]), Output(json=True))
    with pytest.raises(InvalidInputError, match="has a price"):  # nobody sells this model
        run_route(settings, requests, RouteOptions(budget=1.0), Output(json=True))
    with pytest.raises(InvalidInputError, match="`--budget` is missing"):
        run_route(settings, requests, RouteOptions(), Output())
    empty = type(settings)(home=tmp_path / "empty")
    with pytest.raises(DatasetError):
        run_route(empty, requests, RouteOptions(budget=1.0), Output())


def test_cascades_are_judged_on_answers_not_on_a_file(requests: Path) -> None:
    refused = CliRunner().invoke(app, ["route", str(requests), "--cascade"]).exception
    assert isinstance(refused, InvalidInputError)
    assert "leave the file out" in str(refused)
