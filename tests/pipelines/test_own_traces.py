"""The path of a user with traces of one's own: ingest, retrain, quote; and of one whose champion was damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import typer

from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.registry.tracking import Registry
from foretell.pipelines.cli.forecast.champion import load_champion
from foretell.pipelines.cli.forecast.quote import QuoteOptions, run_quote
from foretell.pipelines.cli.operate.doctor import doctor
from foretell.pipelines.cli.operate.retrain import retrain as retrain_families
from foretell.pipelines.cli.output import Output
from foretell.pipelines.runs import curate_days, open_instance, retrain
from foretell.pipelines.settings import Settings, quiet_environment
from tests.synthetic import chat_call, write_jsonl

FAMILY = "thinking_tokens"
BEFORE_THE_STARTER = datetime(2026, 11, 18, tzinfo=UTC)
"""The starter's requests are of 2026-11-22, so that nothing of one's own is newer than the demo's champion."""
MODELS = {"desk-large": 7.2, "desk-mini": 6.2}
"""Models of one's own, which neither the starter nor the public figures know."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own_traces")]


def own_traces(file: Path, n_queries: int, models: dict[str, float]) -> Path:
    """Calls of a help desk, answered at a length of each model's own."""
    rng = np.random.default_rng(0)
    calls = []
    for number in range(n_queries):
        created = int((BEFORE_THE_STARTER + timedelta(minutes=3 * number)).timestamp())
        for model, level in models.items():
            length = int(np.exp(rng.normal(level, 0.4)))
            text = f"Ticket {number}: answer this customer about order {rng.integers(1000)}."
            calls.append(
                chat_call(
                    f"{model}-{number}", prompt=text, model=model, output_tokens=length,
                    reasoning_tokens=length // 2, created=created,
                )
            )  # fmt: skip
    return write_jsonl(file, calls)


def learn_from(settings: Settings, file: Path) -> None:
    """`foretell ingest` and `foretell retrain`, without their printing."""
    ingest([file], settings.landing)
    with open_instance(settings) as instance:
        curate_days(settings, instance, lambda step, seconds, share: None)
        retrain(settings, instance, lambda step, seconds, share: None)


def asked(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What `foretell quote --model desk-large` prints: results and remarks."""
    file = write_jsonl(tmp_path / "batch.jsonl", [{"messages": [{"role": "user", "content": "Where is my order?"}]}])
    capsys.readouterr()
    run_quote(settings, file, QuoteOptions(["desk-large"]), Output())
    return capsys.readouterr()


def test_ones_own_models_are_in_ones_own_quote_the_same_night(copied: Settings, tmp_path: Path, capsys) -> None:
    before, _ = asked(copied, tmp_path, capsys)
    assert "desk-large: neither model nor benchmark was seen" in before
    former = int(copied.open_registry().champion(FAMILY).version)
    learn_from(copied, own_traces(tmp_path / "own.jsonl", 320, MODELS))
    champion = copied.open_registry().champion(FAMILY)
    assert int(champion.version) == former + 1
    assert "by what it covers" in champion.tags["decision"]
    assert "desk-large, desk-mini, which the champion has never seen" in champion.tags["decision"]
    after, remarks = asked(copied, tmp_path, capsys)
    assert "never seen" not in after + remarks
    assert "neither model" not in after + remarks


def test_a_fresh_home_with_little_knows_its_model_and_quotes_it(tmp_path: Path, capsys, monkeypatch) -> None:
    settings = Settings(home=tmp_path / "home")
    quiet_environment(settings)
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
    learn_from(settings, own_traces(tmp_path / "own.jsonl", 120, {"desk-large": 7.2}))
    registry = settings.open_registry()
    champion = registry.champion(FAMILY)
    # Version 1 came with foretell and has never seen the model; 120 requests of it tell more than all public figures.
    assert int(champion.version) == 2
    assert "over the version that came with foretell" in champion.tags["decision"]
    printed = "".join(asked(settings, tmp_path, capsys))
    assert "never seen" not in printed
    assert "neither model" not in printed


@contextmanager
def cut_short(registry: Registry, pattern: str) -> Iterator[None]:
    """What a full disk or a pulled plug leaves of files of the champion's saved predictor; whole again afterwards."""
    import mlflow

    registry.client()
    folder = Path(mlflow.artifacts.download_artifacts(registry.champion(FAMILY).source)) / "artifacts" / "predictor"
    contents = {file: file.read_bytes() for file in sorted(folder.rglob(pattern))}
    assert contents
    try:
        for file, content in contents.items():
            file.write_bytes(content[: len(content) // 2])
        yield
    finally:
        for file, content in contents.items():
            file.write_bytes(content)


@pytest.mark.parametrize("pattern", ["embedding.safetensors", "*.txt"])
def test_a_damaged_champion_is_named_by_doctor_and_mended_by_retrain(
    copied: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(copied.home))
    registry = copied.open_registry()
    damaged = int(registry.champion(FAMILY).version)
    with cut_short(registry, pattern):
        with pytest.raises(typer.Exit) as ended:
            doctor()
        assert ended.value.exit_code == 1
        assert "damaged" in capsys.readouterr().out
        retrain_families([FAMILY])
        champion = registry.champion(FAMILY)
        assert int(champion.version) == damaged + 1
        assert "is the same fit, made anew" in champion.tags["decision"]
        load_champion(copied, FAMILY)
        assert registry.manifest(champion), "its files are whole"
