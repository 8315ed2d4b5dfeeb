"""`foretell serve`: a real server asked over real sockets, by callers that mean well and by others."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from foretell.pipelines.settings import Settings
from foretell.pipelines.webservers import champions
from foretell.pipelines.webservers.bounds import Limits
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.requests import Requests
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline
from tests.assets.nightly.nights import FAMILY, register
from tests.conftest import ROOT

TOKEN = "a-token-of-some-length"
ROW = {"model": "gpt-5-mini", "prompt_text": "Prove that there are infinitely many primes.", "max_tokens": 4000}
GOOD = {"rows": [ROW]}
QUOTE = {"requests": [{"prompt_text": "What is 2 + 2?"}, ROW], "models": ["gpt-5", "gpt-5-mini"], "budget_usd": 0.05}
PAGES = ("/health", "/metrics", "/openapi.json", "/")


class Server:
    """A running `foretell serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def send(self, raw: bytes, *, timeout: float = 30.0) -> tuple[int, bytes]:
        """Status and body of what comes back for these bytes, on a connection of its own; 0 where nothing does."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has answered and closed before all was sent
                connection.sendall(raw)
            return answer_of(connection)

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """A whole request with the right headers, unless they are given."""
        named = {"Host": f"127.0.0.1:{self.port}", "Authorization": f"Bearer {TOKEN}", "Connection": "close"}
        if body is not None:
            named |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
        method = "GET" if body is None else "POST"
        status, answer = self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))
        return status, json.loads(answer) if answer.startswith(b"{") else answer.decode()

    @property
    def resident(self) -> int:
        """Bytes in memory now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1])  # type: ignore[index]


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    data = b""
    try:
        while part := connection.recv(65_536):
            data += part
            head, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if length and len(body) >= int(length[1]):
                break
    except ConnectionResetError:
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORETELL_")}
    environment |= {"FORETELL_SERVE_TOKEN": TOKEN, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "foretell.pipelines.cli.app", "serve", "--port", "0"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://127.0.0.1:" in line, (folder / "log").read_text("utf-8")
    yield Server(process, int(line.rpartition(":")[2]))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, (folder / "log").read_text("utf-8")
    assert TOKEN not in (folder / "log").read_text("utf-8")


def hostile_bodies(n: int) -> Iterator[bytes]:
    """Bodies that are nearly right, and some that are nothing."""
    draw = random.Random(24)
    odd = [None, True, -1, 0, 1e400, 10**400, "", "x" * 300, "\ud800", "\x00", [], {}, [[]], {"a": 1}, float("nan"),
           "gpt-5", [ROW], 3.5, -0.0, "Ω" * 1000]  # fmt: skip
    for _ in range(n):
        whole = json.loads(json.dumps(draw.choice((GOOD, QUOTE))))
        for _ in range(draw.randint(1, 3)):
            place: Any = whole
            while isinstance(place, dict | list) and place:
                key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
                inner = place[key]
                if not isinstance(inner, dict | list) or not inner or draw.random() < 0.3:
                    name = draw.choice(["model", "x", "prompt_text", "__class__", "rows"])
                    if isinstance(place, dict) and draw.random() < 0.2:
                        place[name] = copy.deepcopy(draw.choice(odd))
                    else:
                        place[key] = copy.deepcopy(draw.choice(odd))
                    break
                place = inner
        text = json.dumps(whole).encode()
        kind = draw.random()
        if kind < 0.15:
            text = text[: draw.randrange(len(text))]
        elif kind < 0.25:
            text = draw.randbytes(draw.randrange(2000))
        elif kind < 0.28:
            text = b"[" * draw.choice((10, 5_000, 200_000))
        elif kind < 0.3:
            text = b'{"rows": [' + b",".join([json.dumps(ROW).encode()] * draw.choice((400, 501))) + b"]}"
        yield text


@pytest.mark.slow
def test_a_good_caller_is_answered(server: Server) -> None:
    status, answer = server.ask("/forecast", json.dumps(GOOD).encode())
    (forecast,) = answer["forecasts"]
    assert (status, answer["version"]) == (200, "shipped")
    assert next(iter(forecast)) == "known"
    assert 0 < forecast["lower_90"] < forecast["median"] < forecast["upper_90"] <= ROW["max_tokens"]
    assert 0 < forecast["cost_median_usd"] < 0.01
    status, answer = server.ask("/quote", json.dumps(QUOTE).encode())
    assert (status, {row["model"] for row in answer["totals"]}) == (200, {"gpt-5", "gpt-5-mini"})
    assert all(0 <= row["probability_over_budget"] <= 1 for row in answer["totals"])
    assert server.ask("/health", Authorization="")[1]["champions"] == {FAMILY: "shipped"}
    status, page = server.ask("/")
    assert (status, "curl http://127.0.0.1" in page) == (200, True)
    assert TOKEN not in page
    described = server.ask("/openapi.json")[1]
    assert {"/forecast", "/quote", "/health", "/metrics"} == set(described["paths"])
    for name in ("ForecastBody", "QuoteBody"):
        path = "/forecast" if name == "ForecastBody" else "/quote"
        example = json.dumps(described["components"]["schemas"][name]["examples"][0]).encode()
        assert server.ask(path, example)[0] == 200, name
    metrics = server.ask("/metrics")[1]
    assert re.search(r'^foretell_requests_total\{path="/forecast",status="200"\} [1-9]', metrics, re.M)
    for line in metrics.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [\d.e+-]+', line), line


@pytest.mark.slow
def test_a_thousand_hostile_bodies_get_the_right_codes_and_leave_memory_flat(server: Server) -> None:
    for body in list(hostile_bodies(40)):
        server.ask("/forecast", body)
    before, seen = server.resident, set()
    for number, body in enumerate(hostile_bodies(1000)):
        path = ("/forecast", "/quote")[number % 2]
        status, answer = server.ask(path, body)
        assert status in (200, 400, 422), (status, body[:300])
        assert status == 200 or set(answer) == {"error"}, answer
        assert len(json.dumps(answer)) < 2_000_000
        seen.add(status)
    assert seen == {200, 400, 422}
    assert server.resident - before < 80_000_000
    assert server.ask("/forecast", json.dumps(GOOD).encode())[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        ("/forecast", b"{}", {"Content_Type": "text/plain"}, 415),
        ("/forecast", b"{}", {"Content_Type": ""}, 415),
        ("/forecast", json.dumps(GOOD).encode(), {"Content_Type": "Application/JSON; charset=utf-8"}, 200),
        ("/forecast", b"x" * (Limits.body_bytes + 1), {}, 413),
        ("/forecast", b"", {"Content_Length": str(10**12)}, 413),
        ("/forecast", b"", {"Content_Length": "-1"}, 400),
        ("/forecast", b"{}", {"Authorization": ""}, 401),
        ("/forecast", b"{}", {"Authorization": f"Bearer {TOKEN}x"}, 401),
        ("/forecast", b"{}", {"Authorization": f"Basic {TOKEN}"}, 401),
        ("/metrics", None, {"Authorization": "Bearer ü"}, 401),
        ("/", None, {"Authorization": ""}, 401),
        ("/forecast", None, {}, 405),
        ("/health", b"{}", {}, 405),
        ("/../etc/passwd", None, {}, 404),
        ("/forecast/", json.dumps(GOOD).encode(), {}, 307),
        ("/health", None, {"X_Long": "x" * 800_000}, 400),
        ("/forecast", json.dumps({"rows": [ROW] * 501}).encode(), {}, 422),
        ("/quote", json.dumps({**QUOTE, "requests": [ROW] * 1001}).encode(), {}, 422),
    ],
)
def test_what_breaks_a_bound_gets_its_code(
    server: Server, path: str, body: bytes | None, headers: dict[str, str], expected: int
) -> None:
    assert server.ask(path, body, **headers)[0] == expected


@pytest.mark.slow
def test_slow_senders_are_let_go_while_others_are_answered(server: Server) -> None:
    answers: dict[str, tuple[int, float]] = {}
    head = f"POST /forecast HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    body = head + "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"

    def drip(name: str, start: str) -> None:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(start.encode())
            while time.monotonic() - begun < Limits.send_s - 2:
                time.sleep(1)
                connection.sendall(b" " if name == "body" else b"x")
            answers[name] = answer_of(connection)[0], time.monotonic() - begun

    threads = [
        threading.Thread(target=drip, args=pair) for pair in (("body", body), ("head", head + "X-Slow: "), ("line", ""))
    ]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert server.ask("/forecast", json.dumps(GOOD).encode())[0] == 200
    for thread in threads:
        thread.join()
    assert {name: status for name, (status, _) in answers.items()} == dict.fromkeys(("body", "head", "line"), 408)
    assert all(Limits.send_s - 1 < seconds < Limits.send_s + 5 for _, seconds in answers.values())


@pytest.mark.slow
def test_a_promotion_is_picked_up_while_requests_run_and_a_damaged_one_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    monkeypatch.setattr(champions, "LOOK_EVERY_S", 0.02)
    monkeypatch.delenv("FORETELL_TRACKING_URI", raising=False)
    settings = Settings(home=tmp_path / "home")
    registry = settings.open_registry()
    assert registry.artifact_root is not None
    X = pd.DataFrame({"model": ["a", "a", "b"], "prompt_text": ["x", "y", "z"]})
    Requests.validate(X)
    for number, tokens in ((1, 10.0), (2, 1000.0), (3, 1.0)):
        predictor = GlobalBaseline().fit(X, pd.Series([tokens, tokens, tokens]), groups=pd.Series(["x", "y", "z"]))
        register(registry, predictor, number)
    registry.point(FAMILY, "champion", "1")
    heard: list[str] = []
    held = champions.Followed(settings, (FAMILY, "success"), heard.append)
    held.start()
    try:
        assert held.versions == {FAMILY: "1"}
        with pytest.raises(DatasetError, match="run `foretell retrain success`"):
            held.current("success")
        registry.point(FAMILY, "champion", "2")
        seen = []
        deadline = time.monotonic() + 30
        while held.n_swaps == 0 and time.monotonic() < deadline:
            seen.append(float(held.current(FAMILY).predictor.predict(X).iloc[0]))
        assert held.versions == {FAMILY: "2"}
        assert {round(value) for value in seen} <= {10, 1000}
        assert round(float(held.current(FAMILY).predictor.predict(X).iloc[0])) == 1000
        for file in (registry.artifact_root / "model-3").rglob("*.safetensors"):
            file.write_bytes(file.read_bytes()[:-20])
        registry.point(FAMILY, "champion", "3")
        while FAMILY not in held.broken and time.monotonic() < deadline:
            time.sleep(0.02)
        assert held.versions == {FAMILY: "2"}
        assert "safetensors" in held.broken[FAMILY]
        assert "success" not in held.broken, "no champion yet is no fault"
        assert "thinking_tokens: version 2 answers" in heard
    finally:
        held.stop()


def test_an_address_that_others_reach_needs_a_token(monkeypatch: pytest.MonkeyPatch, capsys, clean_environment) -> None:
    from foretell.pipelines.cli.app import main

    monkeypatch.setattr(sys, "argv", ["foretell", "serve", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "set FORETELL_SERVE_TOKEN to a long random text" in capsys.readouterr().err
    monkeypatch.setenv("FORETELL_SERVE_TOKEN", "short")
    with pytest.raises(SystemExit):
        main()
    err = capsys.readouterr().err
    assert "FORETELL_SERVE_TOKEN is not usable" in err
    assert "=short" not in err
