"""`foretell retrain` and the demo's refresh: a family of bundled data, from files to a decision, and not twice."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from foretell.pipelines.cli.operate.retrain import retrain
from foretell.pipelines.runs import open_instance, refresh
from foretell.pipelines.settings import Settings, quiet_environment
from foretell.predictors.errors import InvalidInputError

FAMILY = "downstream_scaling"


@pytest.mark.slow
def test_retrain_registers_decides_and_prints_and_refresh_knows_what_is_up_to_date(
    clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starter = tmp_path / "starter"
    shutil.copytree(Settings().starter, starter)
    monkeypatch.setenv("FORETELL_STARTER", str(starter))
    monkeypatch.setenv("DAGSTER_HOME", str(clean_environment / "dagster"))
    settings = Settings()
    quiet_environment(settings)
    retrain([FAMILY])
    printed = capsys.readouterr()
    assert f"{FAMILY} version 2: First fit: crps" in printed.out, "version 1 came with foretell"
    assert f"{FAMILY}_registered_model" in printed.err, "progress goes to standard error, step by step"
    assert printed.err.splitlines()[-1] == "next: `foretell compute FILE`"
    registry = settings.open_registry()
    champion = registry.champion(FAMILY)
    assert champion is not None
    assert champion.tags["decision"] in printed.out

    numbers = [v.version for v in registry.family(FAMILY).versions]
    steps: list[str] = []
    with open_instance(settings) as instance:
        # What `retrain` made, the demo does not make again.
        assert refresh(settings, instance, FAMILY, lambda step, seconds, share: pytest.fail(step)) is False
        # The same data and code are one fit, however often they are asked for.
        assert [v.version for v in registry.family(FAMILY).versions] == numbers
        (starter / "README.md").write_text("other data\n", "utf-8")
        steps.clear()
        assert refresh(settings, instance, FAMILY, lambda step, seconds, share: steps.append(step)) is True
    assert f"{FAMILY}_evaluation" in steps


def test_unknown_family_is_named_before_anything_runs(clean_environment: Path) -> None:
    with pytest.raises(InvalidInputError, match="unknown family 'horoscopes'; there is thinking_tokens"):
        retrain([FAMILY, "horoscopes"])
    assert not clean_environment.exists()


def test_retrain_of_an_unknown_family_ends_with_2(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from foretell.pipelines.cli.app import main

    monkeypatch.setattr(sys, "argv", ["foretell", "retrain", "horoscopes"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("foretell: unknown family 'horoscopes'")
