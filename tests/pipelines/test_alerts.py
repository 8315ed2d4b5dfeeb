"""What the webhook is told: by a real server, once, without a secret, and never at the price of a run."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pandas as pd
import pytest

from foretell.integrations import webhook
from foretell.integrations.webhook import Alert, NotDeliveredError, payload
from foretell.pipelines import alerts
from foretell.pipelines.schedules import alerts_sensor
from foretell.pipelines.settings import Settings, read_settings
from foretell.predictors.errors import InvalidInputError

SECRET = "T000-secret-B000"


class Receiver(BaseHTTPRequestHandler):
    status, wait_s = 200, 0.0
    seen: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen.append(json.loads(body))
        if self.wait_s:
            self.server.ending.wait(self.wait_s)  # type: ignore[attr-defined]
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def receiver(clean_environment: Path, monkeypatch: pytest.MonkeyPatch):
    handler = type("Handler", (Receiver,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.ending = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("FORETELL_ALERT_URL", f"http://127.0.0.1:{server.server_port}/services/{SECRET}")
    monkeypatch.setenv("FORETELL_DAILY_SPEND_USD", "5")
    clean_environment.mkdir(parents=True, exist_ok=True)
    yield handler
    server.ending.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@dg.op
def read_prompts() -> None:
    raise ValueError("the prompt of Mrs Smith")


@dg.job
def curate() -> None:
    read_prompts()


def tick(instance: dg.DagsterInstance) -> str:
    skipped = alerts_sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    return str(skipped.skip_message)


def spend(home: Path, usd: float) -> None:
    folder = home / "lake" / "request_traces"
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"source": ["own", "own", "public/x"], "cost_usd": [usd, None, 99.0], "cost_reported_usd": [None, 1.0, 9.0]}
    pd.DataFrame(rows).to_parquet(folder / f"{datetime.now(UTC):%Y-%m-%d}.parquet")


def check(instance: dg.DagsterInstance, asset: str, name: str, *, passed: bool) -> None:
    key = dg.AssetKey(asset)
    instance.report_runless_asset_event(dg.AssetCheckEvaluation(asset_key=key, check_name=name, passed=passed))


def test_what_is_new_is_told_once_and_nothing_that_was_old(
    receiver, instance: dg.DagsterInstance, clean_environment: Path
) -> None:
    curate.execute_in_process(instance=instance, raise_on_error=False)
    assert tick(instance) == "0 alerts sent."
    assert receiver.seen == []

    curate.execute_in_process(instance=instance, raise_on_error=False)
    check(instance, "thinking_tokens_drift", "forecast_holds", passed=False)
    check(instance, "thinking_tokens_drift", "noise_holds", passed=True)
    check(instance, "request_traces", "costs_known", passed=False)
    spend(clean_environment, 5.5)
    assert tick(instance) == "4 alerts sent."
    assert tick(instance) == "0 alerts sent."
    (message,) = receiver.seen
    told = {alert["kind"]: alert["text"] for alert in message["alerts"]}
    assert set(told) == {"run_failed", "check_failed", "drift", "spend"}
    assert told["run_failed"].startswith("curate: read_prompts failed, run ")
    assert told["drift"] == "thinking_tokens_drift: forecast_holds did not pass"
    assert told["spend"] == f"{datetime.now(UTC):%Y-%m-%d}: $6.50 of 2 requests, more than $5.00"
    assert "Smith" not in json.dumps(message)
    check(instance, "thinking_tokens_drift", "forecast_holds", passed=False)
    assert tick(instance) == "1 alerts sent.", "another night that drifted"


@pytest.mark.slow
def test_a_promotion_is_told_whoever_made_it(
    receiver, instance: dg.DagsterInstance, clean_environment: Path, tmp_path: Path
) -> None:
    from foretell.assets.registry.tracking import CHAMPION

    (clean_environment / "mlflow").mkdir()
    registry = Settings().open_registry()
    registry.client().create_registered_model("success")
    for _ in range(2):
        registry.client().create_model_version("success", str(tmp_path))
    assert tick(instance) == "0 alerts sent."
    registry.point("success", CHAMPION, "1")
    assert tick(instance) == "0 alerts sent.", "a first champion takes nobody's place"
    registry.point("success", CHAMPION, "2")
    assert tick(instance) == "1 alerts sent."
    assert tick(instance) == "0 alerts sent."
    (message,) = receiver.seen
    assert message["alerts"][0]["text"] == "success: version 2 is champion, was 1"


def test_a_slow_failing_or_dead_receiver_costs_a_line_without_its_address_and_is_told_later(
    receiver, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.2)
    assert tick(instance) == "0 alerts sent."
    curate.execute_in_process(instance=instance, raise_on_error=False)
    receiver.status = 500
    assert tick(instance) == "the receiver of alerts answered 500: look at `alert_url`"
    receiver.status, receiver.wait_s = 200, 30.0
    assert tick(instance) == "the receiver of alerts cannot be reached (TimeoutError): look at `alert_url`"
    receiver.wait_s = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETELL_ALERT_URL", f"http://127.0.0.1:9/{SECRET}")
        said = tick(instance)
        assert "cannot be reached" in said
        assert SECRET not in said
    assert tick(instance) == "1 alerts sent."
    assert len(receiver.seen) == 3


def test_the_address_is_a_secret_and_must_be_one(receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    from foretell.pipelines.cli.operate.config import list_settings

    assert SECRET not in json.dumps(list_settings(Settings()))
    monkeypatch.setenv("FORETELL_ALERT_URL", f"file:///etc/{SECRET}")
    with pytest.raises(InvalidInputError, match="begins with https") as refused:
        read_settings()
    assert SECRET not in str(refused.value)


def test_without_an_address_nothing_is_looked_for(clean_environment: Path, instance: dg.DagsterInstance) -> None:
    assert tick(instance) == "0 alerts sent."
    assert not clean_environment.exists()
    with pytest.raises(InvalidInputError, match="FORETELL_ALERT_URL"):
        alerts.send_new(Settings(), instance)


def test_what_slack_takes() -> None:
    many = [Alert("run_failed", str(n), f"night {n}") for n in range(25)]
    text = payload(many, "slack")["text"].splitlines()
    assert text[:2] == ["foretell", "*run failed*: night 0"]
    assert text[-1] == "and 5 more"


def test_the_command_shows_what_would_be_sent(
    receiver, clean_environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from foretell.pipelines.cli.operate.alert import alert

    monkeypatch.setenv("DAGSTER_HOME", str(clean_environment / "dagster"))
    alert(dry_run=False)
    assert capsys.readouterr().out == "0 new alerts sent\n"
    spend(clean_environment, 7)
    alert(dry_run=True)
    assert json.loads(capsys.readouterr().out)["alerts"][0]["kind"] == "spend"
    assert receiver.seen == []
    alert(dry_run=False)
    assert capsys.readouterr().out == "1 new alert sent\n"
    with pytest.raises(NotDeliveredError):
        webhook.post("http://127.0.0.1:9/", {})
