"""A pilot over real HTTP: what goes wrong is told in one line, and nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from foretell.pipelines.pilots.ledger import Ledger
from foretell.pipelines.pilots.plan import usage_price
from foretell.pipelines.pilots.sending import Call, HttpEndpoint, LiteLLMEndpoint, Sending, send
from foretell.predictors.errors import InvalidInputError

KEY = "sk-test-0123456789"
PRICES = 'version: "1"\nmodels:\n  - {model: tiny, input_usd_per_mtok: 1, output_usd_per_mtok: 10}\n'
ANSWER = {
    "id": "a", "object": "chat.completion", "model": "tiny",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
}  # fmt: skip


class Provider:
    """A local endpoint; `script` says what the k-th request gets."""

    def __init__(self, script: Callable[[int, BaseHTTPRequestHandler], None]) -> None:
        self.seen: list[tuple[str, str | None]] = []
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None: ...

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.seen.append((body["messages"][0]["content"], self.headers["Authorization"]))
                    k = len(outer.seen) - 1
                script(k, self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def reply(handler: BaseHTTPRequestHandler, status: int, content: Any, **headers: str) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[int, BaseHTTPRequestHandler], None]], Provider]]:
    made: list[Provider] = []

    def start(script: Callable[[int, BaseHTTPRequestHandler], None]) -> Provider:
        made.append(Provider(script))
        return made[-1]

    yield start
    for provider in made:
        provider.server.shutdown()
        provider.server.server_close()


def make_calls(n: int = 3, model: str = "tiny") -> list[Call]:
    return [
        Call(f"{i}:{model}", {"model": model, "messages": [{"role": "user", "content": str(i)}], "max_tokens": 50},
             0.01, {"request": i, "model": model})
        for i in range(n)
    ]  # fmt: skip


def sent(folder: Path, provider: Provider, calls: list[Call], *, timeout_s: float = 5, **options: Any) -> Any:
    """Send, and return problems, ledger and the kept lines."""
    (folder / "prices.yaml").write_text(PRICES, "utf-8")
    out = folder / "runs.jsonl"
    kept = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []
    ledger = Ledger(folder / "log.jsonl", 1.0, {line["custom_id"]: line["pilot"]["counted_usd"] for line in kept})
    endpoint = HttpEndpoint(provider.url, KEY, timeout_s)
    sending = Sending(endpoint, usage_price(folder / "prices.yaml"), out, 1, say=lambda line: None, **options)
    problems = send(calls, sending, ledger)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []
    return problems, ledger, lines


def first_is(bad: Callable[[BaseHTTPRequestHandler], None]) -> Callable[[int, BaseHTTPRequestHandler], None]:
    return lambda k, handler: bad(handler) if k == 0 else reply(handler, 200, ANSWER)


def test_answers_are_kept_with_their_cost_and_the_key_is_in_no_file(tmp_path: Path, serve) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, ANSWER))
    problems, ledger, lines = sent(tmp_path, provider, make_calls())
    assert problems == []
    assert [line["pilot"]["usd"] for line in lines] == pytest.approx([0.00021] * 3)
    assert ledger.spent == pytest.approx(0.00063)
    assert {key for _, key in provider.seen} == {f"Bearer {KEY}"}
    assert all(KEY not in file.read_text("utf-8") for file in tmp_path.iterdir())


def test_too_many_requests_are_waited_for_as_long_as_they_say(tmp_path: Path, serve) -> None:
    provider = serve(first_is(lambda handler: reply(handler, 429, {"error": {"code": "slow"}}, Retry_After="1")))
    started = time.monotonic()
    problems, _ledger, lines = sent(tmp_path, provider, make_calls(1))
    assert time.monotonic() - started >= 1
    assert (problems, len(lines), len(provider.seen)) == ([], 1, 2)


def test_a_server_error_is_tried_again_and_then_told(tmp_path: Path, serve) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, 500, b"oops", Retry_After="0")

    problems, _, lines = sent(tmp_path, serve(first_is(broken)), make_calls(1))
    assert (problems, len(lines)) == ([], 1)
    always = serve(lambda k, handler: broken(handler))
    (tmp_path / "b").mkdir()
    problems, ledger, lines = sent(tmp_path / "b", always, make_calls(1), retries=2)
    assert problems == ["0:tiny: HTTP 500, tried 3 times"]
    assert (lines, ledger.committed, len(always.seen)) == ([], 0.0, 3)


def test_a_dropped_connection_is_in_doubt_counted_and_not_sent_again(tmp_path: Path, serve) -> None:
    provider = serve(first_is(lambda handler: handler.connection.close()))
    problems, ledger, lines = sent(tmp_path, provider, make_calls())
    assert len(problems) == 1
    assert "0:tiny: the connection broke" in problems[0]
    assert ledger.spent == pytest.approx(0.01 + 2 * 0.00021)
    problems, ledger, lines = sent(tmp_path, provider, make_calls())  # resumed
    assert problems == ["0:tiny: in doubt since an earlier run; counted, not sent again"]
    assert (len(provider.seen), len(lines)) == (3, 2)


def test_an_answer_that_trickles_is_cut_off_at_the_limit_of_time(tmp_path: Path, serve) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(12):
            handler.wfile.write(b" " * 65_536)
            handler.wfile.flush()
            time.sleep(0.1)

    started = time.monotonic()
    problems, ledger, _ = sent(tmp_path, serve(first_is(trickle)), make_calls(1), timeout_s=1)
    assert time.monotonic() - started < 5
    assert len(problems) == 1
    assert "counted at its worst case" in problems[0]
    assert ledger.spent == 0.01


@pytest.mark.parametrize(
    ("content", "words", "counted"),
    [
        (b"<html>", "the answer is no JSON object; counted at its worst case", 0.01),
        ({**ANSWER, "usage": None}, "the answer has no usage; counted at its worst case", 0.01),
        ({**ANSWER, "model": "huge"}, "answered by 'huge', not the model asked; left out of the bill", 0.00021),
    ],
)
def test_an_odd_answer_is_kept_counted_and_told(
    tmp_path: Path, serve, content: Any, words: str, counted: float
) -> None:
    provider = serve(first_is(lambda handler: reply(handler, 200, content)))
    problems, ledger, lines = sent(tmp_path, provider, make_calls(2))
    assert problems == [f"0:tiny: {words}"]
    assert len(lines) == 2
    assert ledger.spent == pytest.approx(counted + 0.00021)


def test_a_model_that_is_not_there_stops_the_pilot_after_one_request(tmp_path: Path, serve) -> None:
    fault = {"error": {"code": "model_not_found", "message": f"no such model, key {KEY}"}}
    provider = serve(lambda k, handler: reply(handler, 404, fault))
    problems, ledger, _lines = sent(tmp_path, provider, make_calls(5))
    assert problems[0] == "0:tiny: HTTP 404 model_not_found, tried 1 times"
    assert (len(provider.seen), len(problems), ledger.committed) == (1, 2, 0.0)
    assert KEY not in "".join(problems)


def test_where_nobody_listens_nothing_is_in_doubt(tmp_path: Path, serve) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, ANSWER))
    provider.server.shutdown()
    provider.server.server_close()
    problems, ledger, _ = sent(tmp_path, provider, make_calls(3), retries=0)
    assert problems[0] == "0:tiny: cannot connect, tried 1 times"
    assert (len(problems), ledger.committed) == (2, 0.0)


def test_a_gateway_that_gave_up_waiting_leaves_the_request_in_doubt(tmp_path: Path, serve) -> None:
    problems, ledger, _ = sent(tmp_path, serve(first_is(lambda handler: reply(handler, 504, b""))), make_calls(1))
    assert "0:tiny: HTTP 504; it may have been billed" in problems[0]
    assert ledger.spent == 0.01


def test_a_redirect_is_not_followed_with_the_key(tmp_path: Path, serve) -> None:
    elsewhere = serve(lambda k, handler: reply(handler, 200, ANSWER))
    provider = serve(lambda k, handler: reply(handler, 302, b"", Location=elsewhere.url))
    problems, _, _ = sent(tmp_path, provider, make_calls(1))
    assert (elsewhere.seen, problems) == ([], ["0:tiny: HTTP 302, tried 1 times"])


def test_a_bill_above_the_cap_stops_the_pilot(tmp_path: Path, serve) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 20_000, "total_tokens": 20_010}
    provider = serve(lambda k, handler: reply(handler, 200, {**ANSWER, "usage": usage}))
    problems, _, lines = sent(tmp_path, provider, make_calls(4))
    assert "more than its cap allows" in problems[0]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("api.openai.com/v1", "must be such as https"),
        ("http://example.com/v1", "not sent in the clear"),
        ("https://me:secret@example.com/v1", "no password"),
    ],
)
def test_addresses_that_would_leak_are_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as raised:
        HttpEndpoint(url, KEY, 5)
    assert "secret" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_litellm_is_asked_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers and the statuses of its errors are read as those of HTTP; a module of its shape stands in."""
    (tmp_path / "litellm.py").write_text(
        "class Denied(Exception):\n    status_code = 401\n"
        "class Made:\n    def model_dump(self, mode): return {'model': 'tiny', 'usage': {'prompt_tokens': 1}}\n"
        "def completion(**asked):\n"
        "    if asked['model'] == 'bad': raise Denied('key sk-1')\n"
        "    if asked['model'] == 'gone': raise OSError('reset')\n"
        "    assert asked['num_retries'] == 0\n    return Made()\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    endpoint = LiteLLMEndpoint(5)
    sys.modules.pop("litellm")
    assert endpoint({"model": "tiny"}).body == {"model": "tiny", "usage": {"prompt_tokens": 1}}
    refused = endpoint({"model": "bad"})
    assert (refused.status, refused.reason) == (401, "Denied")
    with pytest.raises(Exception, match="LiteLLM failed"):
        endpoint({"model": "gone"})


CHILD = """
import sys
from pathlib import Path
from tests.pipelines.pilots.test_sending import make_calls, sent
class Address: url = sys.argv[2]
sent(Path(sys.argv[1]), Address, make_calls(30))
"""


@pytest.mark.slow
def test_a_killed_process_resumes_without_sending_twice_what_was_answered(tmp_path: Path, serve) -> None:
    answered: list[int] = []

    def slowly(k: int, handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.03)
        reply(handler, 200, ANSWER)
        answered.append(k)

    provider = serve(slowly)
    for life in range(4):
        before = len(provider.seen)
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), provider.url])
        deadline = time.monotonic() + 60
        while len(provider.seen) < before + 5 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if life < 3:
            child.send_signal(signal.SIGKILL)
        child.wait(60)
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text("utf-8").splitlines()]
    ledger = Ledger(tmp_path / "log.jsonl", 1.0, {line["custom_id"]: line["pilot"]["counted_usd"] for line in lines})
    prompts = [prompt for prompt, _ in provider.seen]
    assert len(prompts) == len(set(prompts)) == 30  # in doubt or answered: neither is sent again
    assert len(lines) + len(ledger.in_doubt) == 30
    assert ledger.committed >= len(prompts) * 0.00021 - 1e-9
    assert len(ledger.in_doubt) <= 3
