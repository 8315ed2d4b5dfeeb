"""The pages of `foretell ui` as they run: an honest user works as before, a page of a stranger gets nothing done.

The second test needs Chromium and playwright, and is skipped, saying so, without them.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit

import pytest

from tests.pipelines.cli.operate.test_ui_in_browser import CHROMIUM, pages

LAUNCH = """mutation {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "foretell.pipelines.definitions"
      repositoryName: "__repository__"
      jobName: "housekeeping"
    }
    runConfigData: %s
  }) { __typename }
}"""
LAUNCHED = LAUNCH % '"{}"'
COUNT = "{ runsOrError { ... on Runs { count } } }"
JSON = {"Content-Type": "application/json"}

FOREIGN_PAGE = """<!doctype html><title>kittens</title><img src="{get}"><iframe src="{get}"></iframe>
<form id="form" method="post" enctype="text/plain" action="{graphql}" target="kept">
<input name='{text}' value='"}}'></form>
<iframe name="kept"></iframe>
<script>
const body = {body}
const plain = {{"Content-Type": "text/plain; application/json"}}, json = {{"Content-Type": "application/json"}}
const tried = [
  fetch({get_text}, {{mode: "no-cors"}}),
  fetch({graphql_text}, {{method: "POST", mode: "no-cors", body, headers: plain}}),
  fetch({graphql_text}, {{method: "POST", body, headers: json}}),
  fetch({artifact}, {{method: "PUT", body: "x"}}),
  fetch({artifact}, {{credentials: "include"}}).then(answer => {{ document.title += " read"; }}),
  new Promise((done, fail) => {{
    const socket = new WebSocket({socket}, "graphql-ws");
    socket.onopen = () => {{ document.title += " open"; done(); }};
    socket.onerror = fail;
  }}),
];
document.getElementById("form").submit();
Promise.allSettled(tried).then(() => setTimeout(() => document.body.append("all tried"), 1000));
</script>"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETELL_UI_HOSTS", "foretell.example.org,mlflow.example.org")
        with pages(tmp_path_factory.mktemp("guarded") / "home") as served:
            yield served


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(
        url, body, {name.replace("_", "-"): v for name, v in headers.items()}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def graphql(dagster: str, query: str, **headers: str) -> dict:
    """The answer to a query in the body of a POST, which an honest program sends."""
    status, body = ask(f"{dagster}/graphql", "POST", json.dumps({"query": query}).encode(), **JSON, **headers)
    assert status == 200, body
    return json.loads(body)["data"]


def n_runs(dagster: str) -> int:
    return graphql(dagster, COUNT)["runsOrError"]["count"]


@pytest.mark.slow
def test_requests_of_strangers_are_refused_and_those_of_users_answered(addresses: dict[str, str]) -> None:
    dagster, mlflow = addresses["dagster"], addresses["mlflow"]
    body = json.dumps({"query": LAUNCHED}).encode()
    assert ask(f"{dagster}/graphql?{urlencode({'query': LAUNCHED})}")[0] == 405
    assert ask(f"{dagster}/graphql?{urlencode({'query': LAUNCHED})}", "POST", b"")[0] == 405
    assert ask(f"{dagster}/graphql", "POST", body, Origin="http://evil.example", **JSON)[0] == 403
    assert ask(f"{dagster}/graphql", "POST", body, Host="evil.example", **JSON)[0] == 400
    experiment, artifact = (
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        "/api/2.0/mlflow-artifacts/artifacts/a.txt",
    )
    assert ask(mlflow + experiment, Host="10.evil.example")[0] == 400
    assert ask(mlflow + artifact, "PUT", b"x", Host="10.evil.example")[0] == 400
    assert ask(mlflow + artifact, "PUT", b"x", Origin="http://127.0.0.1:8888")[0] == 403
    assert n_runs(dagster) == 0
    assert ask(mlflow + artifact)[0] >= 400

    # The pages themselves send the origin that they come from; MLflow's client sends none.
    assert ask(mlflow + experiment)[0] == 200
    assert ask(mlflow + artifact, "PUT", b"x", Origin=mlflow)[0] == 200
    assert ask(mlflow + artifact) == (200, b"x")
    # A proxy that ends TLS passes on the name that it was asked by.
    proxied = {"Host": "mlflow.example.org", "Origin": "https://mlflow.example.org"}
    search = "/ajax-api/2.0/mlflow/experiments/search"
    assert ask(mlflow + search, "POST", b'{"max_results": 1}', **JSON, **proxied)[0] == 200
    assert graphql(dagster, COUNT, Host="foretell.example.org", Origin="https://foretell.example.org")
    refused = graphql(dagster, LAUNCH % r'"{\"resources\": {\"io_manager\": {\"config\": {\"root\": \"/tmp\"}}}}"')
    assert refused["launchRun"]["__typename"] == "RunConfigValidationInvalid"
    assert graphql(dagster, LAUNCHED, Origin=dagster)["launchRun"]["__typename"] == "LaunchRunSuccess"
    assert n_runs(dagster) == 1


@pytest.mark.slow
def test_a_page_of_a_stranger_in_a_real_browser_gets_nothing_done(addresses: dict[str, str]) -> None:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright (no browser download is needed)"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    before = n_runs(addresses["dagster"])
    stranger = ThreadingHTTPServer(("127.0.0.1", 0), serve_foreign_page(addresses))
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    # A name that an attacker's DNS turns to loopback.
    rebound = addresses["dagster"].replace("127.0.0.1", "rebound.example")
    options = ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        for site in ("127.0.0.1", "evil.example"):
            page.goto(f"http://{site}:{stranger.server_port}")
            page.get_by_text("all tried").wait_for()
            assert page.title() == "kittens"
        refused = page.goto(rebound)
        assert refused is not None
        assert refused.status == 400
        # The page itself still works: it asks over HTTP and over a websocket of its own origin.
        with page.expect_websocket() as socket:
            page.goto(f"{addresses['dagster']}/runs")
        assert socket.value.url.startswith("ws://127.0.0.1")
        page.get_by_text("housekeeping").first.wait_for()
        browser.close()
    stranger.shutdown()
    assert n_runs(addresses["dagster"]) == before
    assert ask(f"{addresses['mlflow']}/api/2.0/mlflow-artifacts/artifacts/stranger.txt")[0] >= 400


def serve_foreign_page(addresses: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    """A page that tries every way in which browsers send requests to other origins."""
    endpoint = f"{addresses['dagster']}/graphql"
    body = json.dumps({"query": LAUNCHED})
    html = FOREIGN_PAGE.format(
        get=f"{endpoint}?{urlencode({'query': LAUNCHED})}".replace("&", "&amp;"),
        get_text=json.dumps(f"{endpoint}?{urlencode({'query': LAUNCHED})}"),
        graphql=endpoint,
        graphql_text=json.dumps(endpoint),
        body=json.dumps(body),
        text=body[:-1].replace("'", "&#39;") + ', "ignored": "',
        artifact=json.dumps(f"{addresses['mlflow']}/api/2.0/mlflow-artifacts/artifacts/stranger.txt"),
        socket=json.dumps(f"ws://{urlsplit(endpoint).netloc}/graphql"),
    ).encode()

    class ForeignPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *_: object) -> None:
            pass

    return ForeignPage
