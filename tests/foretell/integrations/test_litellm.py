"""The gateway's logger and budget, with payloads of the real LiteLLM; bench/litellm_proxy.py runs the real proxy."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT

PAYLOADS = ROOT / "tests" / "fixtures" / "clients" / "litellm.jsonl.gz"


class BudgetExceededError(Exception):
    """As in `litellm.exceptions`."""

    def __init__(self, current_cost: float, max_budget: float, message: str) -> None:
        super().__init__(message)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`foretell.integrations.litellm`, with a stand-in for what it takes from LiteLLM, which is not installed here."""
    try:
        importlib.import_module("litellm.integrations.custom_logger")
    except ImportError:
        names = ("litellm", "litellm.integrations", "litellm.integrations.custom_logger")
        stand_ins = {name: types.ModuleType(name) for name in names}
        stand_ins[names[0]].BudgetExceededError = BudgetExceededError
        stand_ins[names[2]].CustomLogger = type("CustomLogger", (), {})
        for name, stand_in in stand_ins.items():
            monkeypatch.setitem(sys.modules, name, stand_in)
    yield importlib.import_module("foretell.integrations.litellm")
    sys.modules.pop("foretell.integrations.litellm", None)


class Fixed:
    """A forecaster that says the same for every request."""

    def __init__(self, tokens: float) -> None:
        self.tokens = tokens

    def predict_quantiles(self, X: pd.DataFrame, levels: tuple[float, ...]) -> pd.DataFrame:
        return pd.DataFrame(np.full((len(X), len(levels)), self.tokens), index=X.index, columns=list(levels))


def payloads(n: int) -> list[dict[str, Any]]:
    with gzip.open(PAYLOADS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(n), lines, strict=False)]


def call(number: int, **more: Any) -> dict[str, Any]:
    return {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "Hello"}],
        "litellm_call_id": f"c{number}",
        **more,
    }


def before(gate: Any, data: dict[str, Any]) -> Any:
    return asyncio.run(gate.async_pre_call_hook(None, None, data, "acompletion"))


def test_calls_land_as_files_that_ingest_reads(module: Any, tmp_path: Path) -> None:
    from foretell.assets.readers.reading import read_traces

    spool = module.Spool(tmp_path / "spool", keep_prompts=False)
    gate = module.Foretell(spool)
    for payload in payloads(20):
        gate.log_success_event({"standard_logging_object": payload}, None, None, None)
    spool.flush()
    (file,) = (tmp_path / "spool").iterdir()
    assert file.suffix == ".jsonl"
    assert file.stat().st_mode & 0o077 == 0
    read = read_traces(file)
    assert len(read.rows) == 20
    assert len(read.rejects) == 0
    assert "Ticket" not in file.read_text("utf-8"), "prompts stay out where they were not asked for"


def test_a_disk_that_fails_breaks_no_call(module: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    spool = module.Spool(tmp_path / "file" / "spool")
    for payload in payloads(10):
        spool.put(payload)
    spool.flush()
    assert spool.n_left_out == 10


def test_a_disk_that_hangs_holds_up_no_call(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    monkeypatch.setattr(module.Spool, "_free_path", lambda self: hangs.wait() and tmp_path / "a.part")
    spool = module.Spool(tmp_path)
    for payload in payloads(10):  # returns: were the disk waited for, this would never end
        spool.put(payload)
    assert spool.n_left_out >= 6, "one is being written, three wait"
    hangs.set()
    spool.flush()
    (file,) = tmp_path.glob("*.jsonl")
    assert len(file.read_text("utf-8").splitlines()) == 10 - spool.n_left_out


def test_what_a_killed_gateway_left_open_can_be_ingested(module: Any, tmp_path: Path) -> None:
    left = tmp_path / "litellm-2026-11-29-999999999-1.part"
    left.write_text('{"response_cost": 1}\n', "utf-8")
    module.Spool(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]


def test_the_95_percent_quantile_is_reserved_and_given_back(module: Any, tmp_path: Path) -> None:
    # 10,000 output tokens of gpt-5 are 10 cents, and a budget of 25 holds two at a time.
    gate = module.Foretell(module.Spool(tmp_path), daily_budget_usd=0.25, predictor=Fixed(10_000))
    data = call(1)
    assert before(gate, data) is data
    before(gate, call(2))
    assert gate.reserved_usd == pytest.approx(0.2, rel=0.01)
    with pytest.raises(
        module.litellm.BudgetExceededError, match=r"refused by forecast: \$0\.0000 spent .* gpt-5 up to \$0\.1000"
    ):
        before(gate, call(3))
    gate.log_success_event({**call(1), "standard_logging_object": {"response_cost": 0.01}}, None, None, None)
    before(gate, call(3))
    gate.log_failure_event(call(2), None, None, None)
    assert gate.spent_usd == pytest.approx(0.01)
    assert gate.reserved_usd == pytest.approx(0.1, rel=0.01)


def test_max_tokens_bound_what_is_reserved(module: Any, tmp_path: Path) -> None:
    gate = module.Foretell(module.Spool(tmp_path), daily_budget_usd=1.0, predictor=Fixed(10_000))
    assert gate.forecast_usd(call(1, max_tokens=100)) == pytest.approx(0.001, rel=0.02)


def test_a_call_that_does_not_fit_goes_to_the_cheaper_model(module: Any, tmp_path: Path) -> None:
    down = {"gpt-5": "gpt-5-mini", "gpt-5-mini": "gpt-5"}
    gate = module.Foretell(module.Spool(tmp_path), daily_budget_usd=0.05, downgrade=down, predictor=Fixed(10_000))
    data = call(1)
    assert before(gate, data)["model"] == "gpt-5-mini"
    assert data["metadata"]["tags"] == ["foretell-instead-of:gpt-5"]
    before(gate, call(2))
    with pytest.raises(module.litellm.BudgetExceededError, match=r"gpt-5 up to .* gpt-5-mini up to"):
        before(gate, call(3))


def test_a_gateway_that_starts_again_knows_what_was_spent_today(module: Any, tmp_path: Path) -> None:
    spool = module.Spool(tmp_path / "spool")
    spool.put({"response_cost": 0.2, "litellm_call_id": "c1"})
    spool.flush()
    assert module.Foretell(module.Spool(tmp_path / "spool"), daily_budget_usd=1.0).spent_usd == pytest.approx(0.2)


def test_settings_come_from_the_environment_and_a_wrong_one_is_named(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path))
    monkeypatch.setenv("FORETELL_DAILY_BUDGET_USD", "5")
    monkeypatch.setenv("FORETELL_DOWNGRADE", "gpt-5=gpt-5-mini, a=b")
    assert module.proxy.budget_usd == 5.0
    assert module.proxy.downgrade == {"gpt-5": "gpt-5-mini", "a": "b"}
    assert module.proxy.spool.folder == tmp_path / "spool"
    monkeypatch.setenv("FORETELL_DOWNGRADE", "gpt-5")
    with pytest.raises(ValueError, match=r"FORETELL_DOWNGRADE=gpt-5 is not usable: .*give pairs"):
        module.from_settings()
