"""What is under way: a bar at a terminal, lines elsewhere, nothing beside JSON or for work that is done at once."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest
import typer
from typer.testing import CliRunner

from foretell.pipelines.cli.options import Json, prints_json
from tests.conftest import ROOT

WORK = """
import sys, time, typer
from foretell.pipelines.cli import progress
from foretell.pipelines.cli.console import out
from foretell.pipelines.cli.options import Json
progress.FIRST_S, progress.EVERY_S, progress.REDRAWN_S = 0.5, 0.3, 0.05

def work(parts: int, json: Json = False) -> None:
    with progress.UnderWay("count") as way:
        for n in range(parts):
            time.sleep(0.1)
            way.done(n + 1, parts)
            if n == 4:
                progress.say("a remark")
    out.print("result")

typer.run(work)
"""


def run(*arguments: str, stderr: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORK, *arguments]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr)


def piped(*arguments: str) -> tuple[str, list[str]]:
    """Standard output, and the lines of standard error."""
    program = run(*arguments, stderr=subprocess.PIPE)
    result, remarks = program.communicate(timeout=60)
    assert program.returncode == 0, remarks
    return result.decode(), remarks.decode().splitlines()


def at_a_terminal(*arguments: str) -> tuple[str, str]:
    """Standard output, which is no terminal, and what was written to the terminal that is standard error."""
    ours, theirs = pty.openpty()
    program = run(*arguments, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # Linux says so where the other end is closed
            break
    assert program.stdout is not None
    result = program.stdout.read().decode()
    assert program.wait(60) == 0, shown
    os.close(ours)
    return result, shown.decode()


def test_a_terminal_shows_a_bar_with_the_time_left_and_results_go_elsewhere() -> None:
    result, shown = at_a_terminal("20")
    assert result == "result\n"
    assert "\x1b[" in shown, "the bar is drawn over itself"
    assert re.search(r"count  \d+ of 20", shown)
    assert "left" in shown
    assert "━" in shown
    assert "a remark" in shown


def test_elsewhere_there_is_a_line_now_and_then_on_standard_error() -> None:
    result, remarks = piped("20")
    assert result == "result\n"
    told = [line for line in remarks if line.startswith("count")]
    assert 2 <= len(told) < 20, "not a line for every part"
    assert any(" left" in line for line in told)
    assert not any("\x1b" in line for line in remarks)
    assert "a remark" in remarks


@pytest.mark.parametrize("arguments", [["0"], ["20", "--json"]])
def test_short_work_and_json_say_nothing(arguments: Sequence[str]) -> None:
    result, remarks = piped(*arguments)
    assert result == "result\n"
    assert [line for line in remarks if line != "a remark"] == []
    _, shown = at_a_terminal(*arguments)
    assert "count" not in shown


def test_what_comes_after_a_command_that_printed_json_has_its_progress() -> None:
    app, seen = typer.Typer(), []

    @app.command()
    def work(json: Json = False) -> None:
        seen.append((json, prints_json.is_set()))

    for arguments in (["--json"], []):
        assert CliRunner().invoke(app, arguments).exit_code == 0
        assert not prints_json.is_set()
    assert seen == [(True, True), (False, False)]
