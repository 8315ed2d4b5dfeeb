"""Forecasts of the champion for files of requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipelines.predict import read_requests, write_frame
from predictors.errors import InvalidInputError
from predictors.serving import FORECAST_COLUMNS

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
    read = read_requests(path)
    assert read["model"].tolist() == REQUESTS["model"].tolist()
    assert read["prompt_text"].iloc[1] == REQUESTS["prompt_text"].iloc[1]


def test_broken_line_of_requests_is_named(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"model": "a"}\n{"model": \n', "utf-8")
    with pytest.raises(InvalidInputError, match=r"requests\.jsonl:2"):
        read_requests(path)


def test_predict_writes_one_forecast_per_request_in_order(installed, tmp_path: Path) -> None:
    path, out = tmp_path / "requests.parquet", tmp_path / "forecasts.jsonl"
    REQUESTS.to_parquet(path)
    environment = {**os.environ, "FORETELL_HOME": str(installed.settings.home)}
    command = [sys.executable, "-m", "pipelines.cli", "predict", "thinking_tokens", str(path)]

    def foretell(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], capture_output=True, text=True, env=environment, timeout=300)

    shown = foretell("--json")
    assert shown.returncode == 0, shown.stderr
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(rows) == len(REQUESTS)
    for row in rows:
        assert set(FORECAST_COLUMNS) <= set(row)
        assert 0 < row["lower_90"] <= row["lower_50"] <= row["median"] <= row["upper_50"] <= row["upper_90"]
    priced = pd.DataFrame(rows)["cost_mean_usd"]
    assert priced.notna().tolist() == [False, True, False]
    written = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert written.returncode == 0, written.stderr
    assert len(out.read_text("utf-8").splitlines()) == len(REQUESTS)


def test_out_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--out"):
        write_frame(REQUESTS, tmp_path / "x.xlsx")
