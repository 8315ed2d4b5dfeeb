"""`mlflow models serve` answers with the documented schema, and refuses what breaks it with a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from foretell.predictors.serving import FORECAST_COLUMNS
from tests.pipelines.cli.operate.test_ui import free_port


def ask(port: int, content: object) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.slow
def test_models_serve_answers_with_the_documented_schema(installed, tmp_path) -> None:
    port = free_port()
    uri = installed.settings.mlflow_uri
    # MLflow hands what another test has set on to its children.
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}
    # MLflow starts uvicorn by name.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/thinking_tokens@champion"]
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [*command, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "--workers", "1"],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text("utf-8")[-2000:]
                time.sleep(0.5)
        row = {"model": "gpt-5-mini", "prompt_text": "What is 2 + 2?"}
        status, answer = ask(port, {"dataframe_records": [row]})
        assert status == 200
        (forecast,) = answer["predictions"]
        assert set(FORECAST_COLUMNS) <= set(forecast)
        assert 0 < forecast["lower_90"] <= forecast["median"] <= forecast["upper_90"]
        split = {"columns": ["model"], "data": [["gpt-5-mini"], ["another"]]}
        status, answer = ask(port, {"dataframe_split": split})
        assert (status, len(answer["predictions"])) == (200, 2)
        status, answer = ask(port, {"dataframe_records": [{"prompt_text": "no model named"}]})
        assert status == 400
        assert "model" in str(answer)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        log.close()
