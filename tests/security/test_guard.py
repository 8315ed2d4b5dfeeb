"""What the guard before Dagster's and MLflow's pages lets through, request by request."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import pytest

from foretell.pipelines.webservers.guard import guard

HERE = "127.0.0.1:3000"
MUTATION = "mutation { launchRun(executionParams: {}) { __typename } }"
FROM_A_PAGE = {"origin": f"http://{HERE}", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
A_LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
AN_IMAGE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
A_FRAME = {**A_LINK, "sec-fetch-dest": "iframe"}


def answer(method: str, headers: dict[str, str], query: str = "", **guarded: object) -> tuple[int, dict[str, str]]:
    """Status and headers of one request to an application that answers 200 to everything; "WS" opens a websocket."""
    sent: list[dict] = []

    async def application(scope, receive, send) -> None:
        kind = "websocket.accept" if scope["type"] == "websocket" else "http.response.start"
        await send({"type": kind, "status": 200, "headers": [(b"content-security-policy", b"object-src 'none'")]})

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    pairs = {"host": HERE, **headers}
    scope = {
        "type": "websocket" if method == "WS" else "http",
        "method": method,
        "path": "/graphql",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
    }
    asyncio.run(guard(application, **{"bound_to": "127.0.0.1", **guarded})(scope, receive, send))
    first = sent[0]
    if first["type"] in ("websocket.accept", "websocket.close"):
        return {"websocket.accept": 101, "websocket.close": 403}[first["type"]], {}
    return first["status"], {name.decode(): value.decode() for name, value in first["headers"]}


@pytest.mark.parametrize(
    ("method", "headers", "query"),
    [
        ("GET", {}, ""),
        ("GET", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, ""),
        ("GET", A_LINK, ""),  # somebody sent a link to a run
        ("POST", FROM_A_PAGE, ""),
        ("POST", {}, ""),  # MLflow's client, curl
        ("PUT", {}, ""),
        ("WS", FROM_A_PAGE, ""),
        ("GET", {}, urlencode({"query": "{ version }"})),
        ("GET", {}, urlencode({"query": "mutations", "q": "mutation"})),  # no GraphQL: a search
        ("POST", {"host": "localhost:3000", "origin": "http://localhost:3000"}, ""),
        ("POST", {"host": "[::1]:3000", "origin": "http://[::1]:3000"}, ""),
    ],
)
def test_honest_requests_pass(method: str, headers: dict[str, str], query: str) -> None:
    assert answer(method, headers, query)[0] in (200, 101)


@pytest.mark.parametrize(
    ("method", "headers", "query"),
    [
        ("GET", {}, urlencode({"query": MUTATION})),
        ("POST", {}, urlencode({"query": MUTATION})),
        ("GET", {}, urlencode([("query", MUTATION), ("query", "{ version }")])),
        ("GET", {}, urlencode({"query": "query a { version } " + MUTATION, "operationName": "b"})),
        ("GET", {"accept": "text/html"}, urlencode({"query": MUTATION})),
        ("GET", {}, urlencode({"query": "mutation" + "{a" * 300 + "}" * 300})),
        ("POST", {"origin": "http://evil.example"}, ""),
        ("POST", {"origin": "null"}, ""),
        ("POST", {"origin": "http://127.0.0.1:8888"}, ""),  # another program's page on loopback
        ("POST", {"origin": f"http://{HERE}.evil.example"}, ""),
        ("POST", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, ""),
        ("POST", A_LINK, ""),  # a form
        ("GET", AN_IMAGE, ""),
        ("GET", A_FRAME, ""),
        ("GET", {"origin": "http://evil.example"}, ""),
        ("WS", {"origin": "http://evil.example"}, ""),
        ("WS", AN_IMAGE, ""),
        ("GET", {"host": "evil.example"}, ""),
        ("GET", {"host": "10.evil.example:5000"}, ""),
        ("PUT", {"host": "10.evil.example"}, ""),
        ("GET", {"host": "www.localhost"}, ""),
        ("POST", {"host": "evil.example", "origin": "http://evil.example"}, ""),  # a name that turned to loopback
    ],
)
def test_what_a_foreign_page_has_a_browser_send_is_refused(method: str, headers: dict[str, str], query: str) -> None:
    assert answer(method, headers, query)[0] in (400, 403, 405)


@pytest.mark.parametrize(
    ("bound_to", "hosts", "host", "status"),
    [
        ("0.0.0.0", ("mlflow",), "mlflow:5000", 200),  # one container asks another
        ("0.0.0.0", ("mlflow",), "0.0.0.0:5000", 400),
        ("192.168.7.5", (), "192.168.7.5:3000", 200),
        ("fd00::5", (), "[fd00::5]:3000", 200),
        ("127.0.0.1", ("*.example.com",), "foretell.example.com", 200),
        ("127.0.0.1", ("*.example.com",), "example.com.evil.example", 400),
    ],
)
def test_hosts_are_those_that_were_named(bound_to: str, hosts: tuple[str, ...], host: str, status: int) -> None:
    assert answer("GET", {"host": host}, bound_to=bound_to, hosts=hosts)[0] == status


def test_behind_a_proxy_that_ends_tls_the_pages_work_by_its_name() -> None:
    headers = {
        "host": "foretell.example.com",
        "origin": "https://foretell.example.com",
        "sec-fetch-site": "same-origin",
    }
    for method in ("POST", "WS"):
        assert answer(method, headers, hosts=("foretell.example.com",))[0] in (200, 101)
    assert answer("POST", {**headers, "origin": "https://mlflow.example.com"}, hosts=("*.example.com",))[0] == 403


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}])
def test_every_answer_tells_the_browser_to_keep_it_here(headers: dict[str, str]) -> None:
    _, sent = answer("POST", headers)
    assert sent["content-security-policy"] == "frame-ancestors 'self'"  # the last of them; a page's own stands before
    assert sent["x-content-type-options"] == "nosniff"
    assert sent["referrer-policy"] == "same-origin"
