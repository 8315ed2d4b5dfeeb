"""The files in `examples/inputs` are read by the commands that their page names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foretell.assets.families import get_family
from foretell.predictors.families import FAMILIES
from tests.conftest import ROOT

FOLDER = ROOT / "examples" / "inputs"
COMMANDS = re.findall(r"foretell (.+)", (FOLDER / "README.md").read_text("utf-8"))
READ_BY = {
    family: FOLDER.parents[1] / match[1]
    for family in FAMILIES
    for command in COMMANDS
    if (match := re.match(rf"predict {family} (\S+)$", command))
}


def test_there_is_an_example_for_every_family_and_every_file_is_named() -> None:
    assert set(READ_BY) == set(FAMILIES)
    files = {path.name for path in FOLDER.iterdir() if path.name != "README.md"}
    assert files == {Path(word).name for command in COMMANDS for word in command.split() if "inputs/" in word}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_example_is_valid_input_of_its_family(family: str) -> None:
    rows = get_family(family).read_inputs(READ_BY[family])
    checked = FAMILIES[family].new_predictor().input_schema.validate(rows)
    assert len(checked) >= 2
    assert rows.index[0] == 1, "rows are counted from 1, as in messages about lines"


def test_every_help_ends_with_an_example_that_the_parser_takes(clean_environment: Path) -> None:
    import shlex

    from foretell.pipelines.cli.app import COMMANDS, LazyCommand

    panels = {name: panel for panel, summaries in COMMANDS.items() for name in summaries}
    examples = (ROOT / "foretell" / "examples.txt").read_text("utf-8").splitlines()
    assert [example.split()[0] for example in examples] == list(panels)
    for name, example in zip(panels, examples, strict=True):
        command = LazyCommand(name, rich_help_panel=panels[name]).load()
        assert str(command.epilog).endswith(f"foretell {example}")
        called, *arguments = shlex.split(example)
        assert called == name
        command.make_context(name, arguments)  # raises where an argument or an option is not there
        for word in arguments:
            assert not word.startswith("examples/") or (ROOT / word).is_file(), word


def test_the_commands_exist() -> None:
    import typer

    from foretell.pipelines.cli.app import app

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {command.split()[0] for command in COMMANDS} <= known
