"""`--out`: the ending says how, and nothing is written that was not asked for."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from foretell.pipelines.cli.output import Output
from foretell.predictors.errors import InvalidInputError

TABLE = pd.DataFrame({"model": ["a", "b"], "usd": [0.5, None]})


def test_every_ending_is_written_and_read_back(tmp_path: Path) -> None:
    files = [tmp_path / f"x{ending}" for ending in (".csv", ".json", ".jsonl", ".parquet", ".html", ".png")]
    output = Output(out=files)
    output.check(".html", ".png")
    figure = plt.figure()
    output.write(TABLE, page=lambda: "<p>page</p>", figure=lambda: figure)
    plt.close(figure)
    readers = (pd.read_csv, pd.read_json, lambda path: pd.read_json(path, lines=True), pd.read_parquet)
    for read, path in zip(readers, files[:4], strict=True):
        pd.testing.assert_frame_equal(read(path), TABLE, check_dtype=False)
    assert files[4].read_text("utf-8") == "<p>page</p>"
    assert files[5].read_bytes()[:4] == b"\x89PNG"


def test_a_table_replaces_the_screen_and_a_page_does_not() -> None:
    shown = [Output(out=[Path(name)]).on_screen for name in ("a.csv", "a.parquet", "a.html", "a.png")]
    assert shown == [False, False, True, True]
    assert Output().on_screen
    assert not Output(json=True).on_screen


def test_json_is_printed_and_only_people_read_the_screen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert not Output(json=True).write(TABLE)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"model": "a", "usd": 0.5}, {"model": "b", "usd": None},
    ]  # fmt: skip
    assert Output().write(TABLE)
    assert not Output(out=[tmp_path / "x.csv"]).write(TABLE)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "message"), [("x.xlsx", "must end in .csv"), ("x.html", "must end in"), ("no/x.csv", "no folder")]
)
def test_what_cannot_be_written_is_refused_before_any_work(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Output(out=[tmp_path / name]).check()
