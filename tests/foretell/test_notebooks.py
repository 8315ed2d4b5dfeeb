"""The notebooks run from top to bottom, and what they promise comes true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "examples" / "notebooks"


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a notebook has defined once all of its cells have run, in an empty folder and home."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FORETELL_HOME", str(folder / "home"))
    names: dict[str, Any] = {}
    for cell in json.loads((FOLDER / name).read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), name, "exec"), names)
            assert cell["outputs"] == []  # what a machine printed is not committed
    return names


@pytest.mark.slow
def test_the_bill_of_a_pilot_holds_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed("bill_from_a_pilot.ipynb", tmp_path, monkeypatch)
    bill = names["bill"]
    assert bill["usd_lower_90"] < names["true_usd"] < bill["usd_upper_90"]
    assert bill["n_answered"] == 20
    assert names["ledger"].committed <= 0.5


@pytest.mark.slow
def test_a_run_is_forecast_judged_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed("is_this_run_worth_going_on.ipynb", tmp_path, monkeypatch)
    band = names["band"]
    assert names["steps"][-1] == 0.4 * names["END"]
    assert band[0.05] < names["end"] < band[0.95]
    assert names["is_worth_it"]
    assert names["end"] < names["losses"][-1] - names["floor"], "going on was worth it"
    assert names["stopped_at"] < 0.4 * names["END"], "the slow setting was stopped early"
    verdicts = names["compared"].set_index(["a", "b"])["verdict"]
    assert "equal" in verdicts["the first run", "another seed"]
    assert names["compared"]["n_items"].tolist() == [797] * 3


def test_every_notebook_has_its_test() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [path.name for path in FOLDER.glob("*.ipynb") if f'executed("{path.name}"' not in text] == []
