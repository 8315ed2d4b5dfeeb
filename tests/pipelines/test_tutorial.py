"""The tutorial is followed from its first command to its last, in an empty folder and home."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
COMMANDS = re.findall(r"^    foretell (.+)$", PAGE.read_text("utf-8"), re.M)
STAYS = ("ui",)
"""Commands that go on until Ctrl-C; `test_ui` starts them."""
ENDPOINT = "http://127.0.0.1:8080/v1"


class Handler(BaseHTTPRequestHandler):
    """An endpoint whose answers say nothing, at some length."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        n = 50 + len(body["messages"][-1]["content"]) % 40
        usage = {"prompt_tokens": 30, "completion_tokens": n, "total_tokens": 30 + n}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "..."}}
        content = json.dumps({"id": str(n), "model": body["model"], "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def test_every_command_of_tutorial_and_how_to_is_one_that_the_parser_takes() -> None:
    from foretell.pipelines.cli.app import COMMANDS as PANELS
    from foretell.pipelines.cli.app import LazyCommand

    panels = {name: panel for panel, summaries in PANELS.items() for name in summaries}
    tasks = re.findall(r"`foretell ([^`]+)`", (PAGE.parent / "how-to.md").read_text("utf-8"))
    assert len(COMMANDS) > 15
    assert len(tasks) > 25
    for command in COMMANDS + tasks:
        name, *arguments = shlex.split(command)
        LazyCommand(name, rich_help_panel=panels[name]).load().make_context(name, arguments)


@pytest.mark.slow
@pytest.mark.xdist_group("walks")
def test_the_tutorial_can_be_followed(
    endpoint: str, clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from foretell.pipelines.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(clean_environment / "dagster"))
    for name in ("examples", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    settings = re.findall(r"^    (\w+ = .+)$", PAGE.read_text("utf-8"), re.M)
    assert len(settings) == 3
    (tmp_path / "foretell.toml").write_text("\n".join(settings), "utf-8")
    told = {}
    for command in COMMANDS:
        if command.split()[0] in STAYS:
            continue
        monkeypatch.setattr("sys.argv", ["foretell", *shlex.split(command.replace(ENDPOINT, endpoint))])
        capsys.readouterr()
        code: object = None
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        assert code in (0, None), f"{command}\n{printed.out}{printed.err}"
        told[command] = printed.out + printed.err
    quotes = [text for command, text in told.items() if command.startswith("quote")]
    assert all("$" in text for text in quotes)
    assert any("8 of 8 answered" in text for text in told.values()), "the pilot was sent"
    compared = next(text for command, text in told.items() if command.startswith("compare"))
    assert "undecided" in compared or "better" in compared or "equal" in compared
    assert {path.name for path in tmp_path.glob("*.html")} == {"compare.html", "curves.html"}
    assert "daily_spend_usd" in told["config"]
