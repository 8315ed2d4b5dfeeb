"""Forecasts of the champion for files of requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.lake.requests import read_requests
from foretell.pipelines.cli.forecast.asked import AskOptions
from foretell.pipelines.cli.forecast.predict import predict
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.serving import FORECAST_COLUMNS
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

REQUESTS = pd.DataFrame(
    {
        "model": ["SmolLM2-135M-Instruct", "gpt-5-mini", "a model nobody has seen"],
        "prompt_text": ["What is 2 + 2?", "Prove that there are infinitely many primes.", None],
        "benchmark": ["arithmetic", None, None],
    }
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_requests_come_back_from_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"requests{suffix}"
    if suffix == ".csv":
        REQUESTS.to_csv(path, index=False)
    elif suffix == ".parquet":
        REQUESTS.to_parquet(path)
    else:
        REQUESTS.to_json(path, orient="records", lines=True)
    read, problems = read_requests(path)
    assert problems == []
    assert read["model"].tolist() == REQUESTS["model"].tolist()
    assert read["prompt_text"].iloc[1] == REQUESTS["prompt_text"].iloc[1]


def test_broken_line_of_requests_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"model": "a"}\n{"model": \n{"colour": "blue"}\n{"prompt_text": "b"}\n', "utf-8")
    read, problems = read_requests(path)
    assert read.index.tolist() == [1, 4]
    assert [problem.split(": ")[0].rsplit(":", 1)[1] for problem in problems] == ["2", "3"]


def test_chat_and_batch_lines_are_requests(tmp_path: Path) -> None:
    chat = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 100}
    batch = {"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions", "body": chat}
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(chat) + "\n" + json.dumps(batch) + "\n", "utf-8")
    read, problems = read_requests(path)
    assert problems == []
    assert read["model"].tolist() == ["gpt-5-mini"] * 2
    assert read["max_tokens"].tolist() == [100, 100]
    assert read["query_id"].iloc[0] == read["query_id"].iloc[1]
    assert "Why?" in read["prompt_text"].iloc[0]
    assert read["custom_id"].tolist()[1] == "q1"


@pytest.mark.parametrize("content", ["", "{\n", '{"colour": "blue"}\n'])
def test_file_without_a_request_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(InvalidInputError, match="holds no request"):
        read_requests(path)


@pytest.mark.slow
def test_quote_adds_up_and_names_what_it_leaves_out(installed, tmp_path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": f"What is {i} times {i + 1}?"}], "max_tokens": 500} for i in range(20)
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"colour": "blue"}\n', "utf-8")
    command = [sys.executable, "-m", "foretell.pipelines.cli.app", "quote", str(path), "--model", "gpt-5-mini"]
    models = ["--model", "gpt-5", "--model", "nobody-knows", "--budget", "1000"]
    environment = {**os.environ, "FORETELL_HOME": str(installed.settings.home)}
    done = subprocess.run([*command, *models, "--json"], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "requests.jsonl:21" in done.stderr
    rows = {row["model"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"gpt-5-mini", "gpt-5", "nobody-knows"}
    for row in rows.values():
        assert row["n_requests"] == 20
        assert row["tokens_lower_90"] <= row["tokens_median"] <= row["tokens_upper_90"] <= row["worst_case_tokens"]
    assert rows["gpt-5-mini"]["usd_median"] < rows["gpt-5"]["usd_median"]
    assert rows["gpt-5-mini"]["probability_over_budget"] == 0
    assert rows["nobody-knows"]["usd_median"] is None


@pytest.mark.slow
def test_predict_writes_one_forecast_per_request_in_order(installed, tmp_path: Path, monkeypatch) -> None:
    path, out = tmp_path / "requests.parquet", tmp_path / "forecasts.jsonl"
    REQUESTS.to_parquet(path)
    environment = {**os.environ, "FORETELL_HOME": str(installed.settings.home)}
    command = [sys.executable, "-m", "foretell.pipelines.cli.app", "predict", "thinking_tokens", str(path)]

    def foretell(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], capture_output=True, text=True, env=environment, timeout=300)

    shown = foretell("--json")
    assert shown.returncode == 0, shown.stderr
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(rows) == len(REQUESTS)
    assert [row["request"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(FORECAST_COLUMNS) <= set(row)
        assert 0 < row["lower_90"] <= row["lower_50"] <= row["median"] <= row["upper_50"] <= row["upper_90"]
    priced = pd.DataFrame(rows)["cost_mean_usd"]
    assert priced.notna().tolist() == [False, True, False]
    monkeypatch.setenv("FORETELL_HOME", str(installed.settings.home))
    predict(family="thinking_tokens", file=path, out=[out])
    assert len(out.read_text("utf-8").splitlines()) == len(REQUESTS)


def test_a_score_forecast_says_first_that_nothing_was_known(
    clean_environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # It answered 15.4 [0, 74.2] for anything, and no interface had a sign of it.
    scores = make_scores(12, 4, seed=0)
    small = BenchmarkScorePredictor(n_folds=2, scale_rounds=5)
    small.fit(scores[INPUTS], scores["value"], groups=scores["leak_group"]).save(tmp_path / "saved")
    path, saved = tmp_path / "asked.jsonl", str(tmp_path / "saved")
    path.write_text('{"model": "nobody", "task": "Weigh zebras."}\n', "utf-8")
    predict(family="benchmark_scores", file=path, json=True, predictor=saved)
    row = json.loads(capsys.readouterr().out)
    assert list(row)[:3] == ["row", "known", "basis"]
    assert row["known"] == "neither"
    assert "a model that was never seen" in row["basis"]
    predict(family="benchmark_scores", file=path, predictor=saved)
    assert capsys.readouterr().out.startswith("neither model nor benchmark known: 1 row\n")
    path.write_text('{"model": "gpt-5", "prompt_text": "Why?"}\n', "utf-8")
    with pytest.raises(InvalidInputError, match="looks like a file for thinking_tokens"):
        predict(family="benchmark_scores", file=path, predictor=saved)


GIVEN = {"mlflow_run": None, "metric": None, "target_step": None, "target_value": None, "benchmark": None, "model": []}
GIVEN |= vars(AskOptions())


@pytest.mark.parametrize(
    ("option", "value"), [("mlflow_run", "r"), ("metric", "loss"), ("target_step", 5.0), ("target_value", 0.5)]
)
def test_an_option_of_curves_is_refused_for_another_family(option: str, value: object) -> None:
    # They were ignored, without a word.
    given = GIVEN | {option: value}
    with pytest.raises(InvalidInputError, match=f"--{option.replace('_', '-')}.*does not apply to benchmark_scores"):
        predict(family="benchmark_scores", file=None, out=[], json=False, **given)


def test_a_picture_of_another_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"`--out` must end in .csv, .* .html here, got .*x.png"):
        predict(family="downstream_scaling", file=None, out=[tmp_path / "x.png"], json=False, **GIVEN)


def test_a_benchmark_in_words_is_forecast_and_drawn(capsys, tmp_path: Path) -> None:
    scores = make_scores(20, 6)
    small = BenchmarkScorePredictor(n_folds=2, scale_rounds=3)
    small.fit(scores[INPUTS], scores["value"], groups=scores["leak_group"]).save(tmp_path / "saved")
    words = "Legal clauses are sorted into 4 classes, and the share of right ones counts."
    out = [tmp_path / "x.json", tmp_path / "x.png"]
    given = GIVEN | {"predictor": str(tmp_path / "saved"), "json": False}
    predict(family="benchmark_scores", file=None, out=out, **given | {"benchmark": words, "model": ["gpt-5", "o3"]})
    rows = json.loads(out[0].read_text("utf-8"))
    assert len(rows) == 2
    assert all(0 <= row["lower_90"] <= row["median"] <= row["upper_90"] <= 100 for row in rows)
    assert out[1].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInputError, match="for benchmark_scores without a FILE"):
        predict(family="thinking_tokens", file=None, out=[], **given | {"benchmark": words})
    with pytest.raises(InvalidInputError, match="give both `--benchmark`"):
        predict(family="benchmark_scores", file=None, out=[], **given | {"benchmark": words})
