"""Options that come in groups."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from foretell.pipelines.cli.options import flat, or_stdin


@dataclass(frozen=True)
class Group:
    models: Annotated[list[str], typer.Option("--model")] = field(default_factory=list)
    limits: Annotated[list[int], typer.Option("--limit")] = field(default_factory=list)
    share: float = 0.5


def test_every_field_of_a_group_is_an_option() -> None:
    seen = []

    @flat
    def command(name: str, group: Group, loud: bool = False) -> None:
        """A summary."""
        seen.append((name, group, loud))

    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["n", "--model", "a", "--model", "b", "--limit", "3", "--loud"])
    assert done.exit_code == 0, done.output
    assert seen == [("n", Group(["a", "b"], [3], 0.5), True)]
    command(name="n", loud=True)
    assert seen[1:] == [("n", Group(), True)], "called as a function it has the same defaults"
    assert CliRunner().invoke(app, []).exit_code == 2, "what has no default is required"


@pytest.mark.parametrize(("content", "name"), [(b'{"a": 1}\n', "stdin.jsonl"), (b"a\n1\n", "stdin.csv")])
def test_a_dash_is_a_file_of_what_comes_on_standard_input(
    content: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    path = or_stdin(Path("-"))
    assert path is not None
    assert (path.name, path.read_bytes()) == (name, content)
    assert or_stdin(Path("x.csv")) == Path("x.csv")
    assert or_stdin(None) is None
