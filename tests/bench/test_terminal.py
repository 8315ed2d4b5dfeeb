"""The terminal that README shows is what a command printed, and needs nothing from the net."""

from __future__ import annotations

import importlib.util
import re
import sys
from html import unescape

import pytest

from tests.conftest import ROOT

spec = importlib.util.spec_from_file_location("terminal", ROOT / "bench" / "terminal.py")
assert spec is not None
assert spec.loader is not None
terminal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(terminal)


def words(svg: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", svg)).replace("\xa0", " ")


def test_a_command_is_drawn_as_it_was_shown() -> None:
    script = "print('over', end='\\r'); print('\\x1b[1mbold\\x1b[0m <b> & plain')"
    command = [sys.executable, "-c", script]
    text = terminal.shown(command)
    svg = terminal.drawn(["foretell", "quote"], text)
    assert "$ foretell quote" in words(svg)
    assert "bold <b> & plain" in words(svg)
    assert "over" not in words(svg)
    with pytest.raises(SystemExit, match="ended with 3"):
        terminal.shown([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_picture_of_readme_is_of_todays_example_and_fetches_nothing() -> None:
    svg = (ROOT / "docs" / "img" / "quote.svg").read_text("utf-8")
    assert f"$ {' '.join(terminal.QUOTE)}" in words(svg)
    assert "80 requests, 0 left out" in words(svg)
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", svg) == []
