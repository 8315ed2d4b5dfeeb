"""A consumer has mlflow and the model's own requirements, and nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assets.tracking import CHAMPION, Fit, Registry
from predictors.learning_curves.predictor import LearningCurvePredictor
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves

CONSUMER = """
import importlib.util, json, sys
import mlflow, pandas as pd
assert importlib.util.find_spec("assets") is None and importlib.util.find_spec("pipelines") is None
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/thinking_tokens@champion")
frame = pd.DataFrame({"model": ["SmolLM2-135M-Instruct", "gpt-5-mini"],
                      "prompt_text": ["What is 2 + 2?", "Prove that the square root of two is irrational."]})
out = model.predict(frame)
import predictors
print(json.dumps({"rows": json.loads(out.to_json(orient="records")), "code": predictors.__file__}))
"""
ANY_FAMILY = """
import importlib.util, json, sys
import mlflow
assert importlib.util.find_spec("assets") is None and importlib.util.find_spec("pipelines") is None
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
out = model.predict(model.input_example)
import predictors
answer = {"asked": len(model.input_example), "rows": json.loads(out.to_json(orient="records"))}
print(json.dumps(answer | {"code": predictors.__file__}))
"""
SECONDS = ["benchmark_scores", "downstream_scaling"]
"""Families that are retrained in seconds; learning curves take minutes, so that a small fit is registered instead."""


def model_requirements(home: Path) -> Path:
    return next((home / "mlflow" / "artifacts").rglob("requirements.txt"))


def register_small_curves(registry: Registry) -> None:
    curves = make_curves(60, 0)
    X = curves[INPUTS].assign(higher_is_better=pd.array([True] * len(curves), dtype="boolean"))
    small = LearningCurvePredictor(location_rounds=20, scale_rounds=10, n_prefixes=3)
    small.fit(X, curves["value"], groups=curves["dataset"])
    head = pd.DataFrame([{"segment": "all", "split": "test", "metric": "crps", "value": 0.1, "predictor": "p"}])
    version = registry.register(Fit("learning_curves", "d", "d", small, head, curves, X.head(3), ""))
    registry.point("learning_curves", CHAMPION, str(version.version))


@pytest.mark.slow
def test_champions_predict_in_an_environment_without_this_project(copied, tmp_path: Path) -> None:
    environment = tmp_path / "consumer"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    # MLflow hands what another test has set on to its children, so its variables go too.
    own = ("PYTHON", "VIRTUAL", "FORETELL", "DAGSTER", "MLFLOW")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    root = Path(__file__).parent.parent.parent
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    requirements = ["-c", root / "constraints.txt", "-r", model_requirements(copied.home)]
    subprocess.run([*install, *requirements], check=True, env=clean, cwd=tmp_path, timeout=900)
    # The consumer allows no pickle, and the model needs none.
    clean["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

    def consume(code: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [python, "-I", "-c", code, copied.mlflow_uri, *arguments],
            capture_output=True,
            text=True,
            env=clean,
            cwd=tmp_path,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert str(root) not in answer["code"]
        return answer

    answer = consume(CONSUMER)
    for row in answer["rows"]:
        assert 0 < row["lower_90"] <= row["median"] <= row["upper_90"]
        assert row["mean"] > 0
    assert answer["rows"][1]["cost_mean_usd"] > 0

    retrain = [sys.executable, "-m", "pipelines.cli", "retrain", *SECONDS]
    environment = clean | {"FORETELL_HOME": str(copied.home)}
    done = subprocess.run(retrain, capture_output=True, text=True, env=environment, cwd=root, timeout=900)
    assert done.returncode == 0, done.stderr
    assert [f"{family} version 1: First fit" in done.stdout for family in SECONDS] == [True, True]
    register_small_curves(Registry(copied.mlflow_uri, copied.home / "mlflow" / "artifacts"))
    for family in [*SECONDS, "learning_curves"]:
        answer = consume(ANY_FAMILY, family)
        assert len(answer["rows"]) == answer["asked"] > 0
        assert all(row["lower_90"] <= row["median"] <= row["upper_90"] for row in answer["rows"])


def test_model_pins_what_it_needs(installed) -> None:
    pins = model_requirements(installed.settings.home).read_text("utf-8").split()
    assert all("==" in pin for pin in pins)
    assert {"mlflow", "lightgbm", "pandas", "safetensors"} <= {pin.split("==")[0] for pin in pins}
    assert not {"dagster", "torch", "dvc"} & {pin.split("==")[0] for pin in pins}


def test_signature_requires_the_model_alone(installed) -> None:
    import mlflow

    mlflow.set_tracking_uri(installed.settings.mlflow_uri)
    model = mlflow.pyfunc.load_model("models:/thinking_tokens@champion")
    schema = model.metadata.get_input_schema()
    assert schema.required_input_names() == ["model"]
    assert {"prompt_text", "benchmark", "reasoning_effort", "max_tokens"} <= set(schema.optional_input_names())
    kinds = {column.name: str(column.type) for column in schema.inputs}
    assert (kinds["prompt_text"], kinds["max_tokens"], kinds["context_models"]) == (
        "DataType.string",
        "DataType.double",
        "Any",
    )
    assert len(model.input_example) > 0
