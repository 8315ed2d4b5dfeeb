"""The notebook about pilots runs from top to bottom, and its bill is about right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_notebook_runs_and_its_bill_holds_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    book = json.loads((ROOT / "examples" / "notebooks" / "bill_from_a_pilot.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "bill_from_a_pilot.ipynb", "exec"), names)
            assert cell["outputs"] == []  # what a machine printed is not committed
    bill = names["bill"]
    assert bill["usd_lower_90"] < names["true_usd"] < bill["usd_upper_90"]
    assert bill["n_answered"] == 20
    assert names["ledger"].committed <= 0.5
