"""`--out`: the ending says how, and nothing is written that was not asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.output import Output, PlainOutput
from foretell.predictors.errors import InvalidInputError

TABLE = pd.DataFrame({"model": ["a", "b"], "usd": [0.5, None]})


def test_every_ending_is_written_and_read_back(tmp_path: Path) -> None:
    files = [tmp_path / f"x{ending}" for ending in (".csv", ".json", ".jsonl", ".parquet", ".html", ".png")]
    output = Output(out=files)
    figure = plt.figure()
    output.write(TABLE, Page("All", [Section(table=TABLE, figure=figure)], answer=["Two."]))
    plt.close(figure)
    readers = (pd.read_csv, pd.read_json, lambda path: pd.read_json(path, lines=True), pd.read_parquet)
    for read, path in zip(readers, files[:4], strict=True):
        pd.testing.assert_frame_equal(read(path), TABLE, check_dtype=False)
    assert re.search(r"<h1>All</h1>.*Two\..*<svg.*<table>", files[4].read_text("utf-8"), re.S)
    assert files[5].read_bytes()[:4] == b"\x89PNG"


def test_a_table_replaces_the_screen_and_a_page_does_not() -> None:
    shown = [Output(out=[Path(name)]).on_screen for name in ("a.csv", "a.parquet", "a.html", "a.png")]
    assert shown == [False, False, True, True]
    assert Output().on_screen
    assert not Output(json=True).on_screen


def test_json_is_printed_and_only_people_read_the_screen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = Page("All", [Section(lines=["a line"], table=TABLE)], answer=["Two."], remarks=["Few."])
    Output(json=True).show(TABLE, page)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["Two.", "- Few."]
    assert [json.loads(line) for line in printed.out.splitlines()] == [
        {"model": "a", "usd": 0.5}, {"model": "b", "usd": None},
    ]  # fmt: skip
    Output(out=[tmp_path / "x.csv"]).show(TABLE, page)
    assert capsys.readouterr().out == ""
    Output().show(TABLE, page)
    printed = capsys.readouterr()
    assert [line.strip() for line in printed.out.splitlines()[:3]] == ["Two.", "- a line", "All"]
    assert printed.out.splitlines()[-1] == "- Few."
    assert printed.err == ""


def test_what_has_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="All has nothing to draw"):
        Output(out=[tmp_path / "x.png"]).write(TABLE, Page("All", [Section(table=TABLE)]))


@pytest.mark.parametrize(
    ("name", "message"), [("x.xlsx", "must end in .csv"), ("x.png", "must end in"), ("no/x.csv", "no folder")]
)
def test_what_cannot_be_written_is_refused_before_any_work(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        PlainOutput(out=[tmp_path / name])
