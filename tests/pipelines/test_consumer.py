"""A consumer has mlflow and the model's own requirements, and nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

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


def model_requirements(home: Path) -> Path:
    (found,) = (home / "mlflow" / "artifacts").rglob("requirements.txt")
    return found


@pytest.mark.slow
def test_champion_predicts_in_an_environment_without_this_project(installed, tmp_path: Path) -> None:
    environment = tmp_path / "consumer"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL", "FORETELL", "DAGSTER"))}
    root = Path(__file__).parent.parent.parent
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    requirements = ["-c", root / "constraints.txt", "-r", model_requirements(installed.settings.home)]
    subprocess.run([*install, *requirements], check=True, env=clean, cwd=tmp_path, timeout=900)
    # The consumer allows no pickle, and the model needs none.
    clean["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    done = subprocess.run(
        [python, "-I", "-c", CONSUMER, installed.settings.mlflow_uri],
        capture_output=True,
        text=True,
        env=clean,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert str(root) not in answer["code"]
    for row in answer["rows"]:
        assert 0 < row["lower_90"] <= row["median"] <= row["upper_90"]
        assert row["mean"] > 0
    assert answer["rows"][1]["cost_mean_usd"] > 0


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
    assert len(model.input_example) > 0
