"""What a person asks forecasts for: tables with lists, and what is wrong with them by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.families import get_family
from foretell.assets.families.benchmark_scores.family import read_inputs
from foretell.assets.lake.input_tables import read_input_table
from foretell.predictors.benchmark_scores.baselines import GlobalBaseline
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.errors import InvalidInputError
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

ROWS = [{"model": "A", "values": [1, 2.5], "note": "x"}, {"model": "B", "values": None, "note": "y"}]


def _write(rows: list[dict[str, object]], path: Path) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        pd.DataFrame(rows).assign(values=[json.dumps(row["values"]) for row in rows]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_kind_of_file_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    table = read_input_table(_write(ROWS, tmp_path / f"in{suffix}"), columns=["model", "values"], lists=["values"])
    assert table.index.tolist() == [1, 2]
    assert table.columns.tolist() == ["model", "values"]
    assert table["values"].tolist() == [[1, 2.5], None]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("in.txt", "x", "expected one of"),
        ("in.jsonl", "", "holds no row"),
        ("in.jsonl", '{"model": "A"}\n{"model": \n', r"in\.jsonl:2: "),
        ("in.jsonl", "[1]\n", r"in\.jsonl:1: expected a JSON object, got list"),
        ("in.jsonl", '{"model": "A", "values": 3}\n', r"in\.jsonl:1: `values` must be a list, got int"),
        ("in.csv", "", "holds no row"),
        ("in.csv", 'model,values\nA,"[1"\n', r"in\.csv:1: `values` must be a JSON list"),
        ("in.csv", "colour\nred\n", "none of the columns"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, match: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=match):
        read_input_table(tmp_path / name, columns=["model", "values"], lists=["values"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no such file"):
        read_input_table(tmp_path / "in.csv", columns=["model"])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_score_inputs_are_redacted_and_can_be_forecast(tmp_path: Path, suffix: str) -> None:
    scores = make_scores(20, 5, seed=0)
    model = BenchmarkScorePredictor(scale_rounds=20).fit(scores[INPUTS], scores["value"], groups=scores["leak_group"])
    asked = pd.DataFrame(
        {
            "task": ["Sort reviews by sentiment. Zephyrus reached 91.3 % in 2021.", None],
            "model": ["M3", "never seen"],
            "n_params": [10**9, None],
            "values": [None, None],
        }
    )
    path = tmp_path / f"in{suffix}"
    if suffix == ".jsonl":
        asked.to_json(path, orient="records", lines=True)
    elif suffix == ".csv":
        asked.to_csv(path, index=False)
    else:
        asked.to_parquet(path)
    inputs = read_inputs(path)
    assert "91.3" not in str(inputs["task"].iloc[0])
    assert "2021" not in str(inputs["task"].iloc[0])
    forecast = model.predict_interval(inputs)
    assert forecast.index.tolist() == [1, 2]
    assert forecast["lower"].ge(0).all()
    assert forecast["upper"].le(100).all()
    assert GlobalBaseline().fit(scores[INPUTS], scores["value"]).predict(inputs).notna().all()


TOKEN_REQUEST = {"model": "gpt-5", "prompt_text": "Why?", "max_tokens": 100}
CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "Why?"}]}
BATCH = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
SCORE = {"model": "gpt-5", "task": "Sort reviews.", "answer_format": "class"}
CURVE = {"steps": [1, 2], "values": [0.1, 0.2], "target_step": 9, "metric": "accuracy"}
LADDER = {"ladder_scores": [10, 20, 30], "ladder_flops": [1e18, 1e19, 1e20], "target_flops": 1e22}


@pytest.mark.parametrize(
    ("family", "row", "likely"),
    [
        # It answered 15.4 [0, 74.2], as for anything else.
        ("benchmark_scores", TOKEN_REQUEST, "thinking_tokens"),
        ("benchmark_scores", CHAT, "thinking_tokens"),
        ("benchmark_scores", BATCH, "thinking_tokens"),
        ("benchmark_scores", CURVE, "learning_curves"),
        ("thinking_tokens", SCORE, "benchmark_scores"),
        ("thinking_tokens", LADDER, "downstream_scaling"),
        ("learning_curves", LADDER, "downstream_scaling"),
        ("downstream_scaling", TOKEN_REQUEST, "thinking_tokens"),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_file_of_another_family_is_refused_in_one_line(
    tmp_path: Path, family: str, row: dict[str, object], likely: str, suffix: str
) -> None:
    path = tmp_path / f"in{suffix}"
    if suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        pd.DataFrame([row]).to_parquet(path)
    with pytest.raises(InvalidInputError, match=f"looks like a file for {likely}, .*; {family} wants columns") as error:
        get_family(family).read_inputs(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) - len(str(path)) < 400


@pytest.mark.parametrize(
    ("family", "row"),
    [
        ("benchmark_scores", SCORE),
        ("benchmark_scores", {"model": "gpt-5", "benchmark": "MMLU"}),
        ("benchmark_scores", {**SCORE, "prompt_text": "Why?"}),
        ("thinking_tokens", TOKEN_REQUEST),
        ("thinking_tokens", CHAT),
        ("thinking_tokens", {"model": "gpt-5"}),
        ("learning_curves", CURVE),
        ("downstream_scaling", LADDER),
    ],
)
def test_a_file_of_the_family_is_read(tmp_path: Path, family: str, row: dict[str, object]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert len(get_family(family).read_inputs(path)) == 1


def test_columns_are_known_whatever_their_case(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Benchmark;Release Year;other\na;2025;1\n", "utf-8")
    table = read_input_table(path, columns=["benchmark", "release_year"])
    assert table.to_dict("records") == [{"benchmark": "a", "release_year": 2025}]
