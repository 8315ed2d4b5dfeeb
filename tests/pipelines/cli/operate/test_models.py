"""`foretell models`: every version with its error, whether or not an alias names it or a night decided on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretell.pipelines.cli.app import main
from foretell.pipelines.settings import Settings


def test_versions_without_an_alias_or_a_decision_are_listed_beside_the_champion(
    copied: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "models.html"

    def output_of(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["foretell", "models", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    monkeypatch.setenv("FORETELL_HOME", str(copied.home))
    registry = copied.open_registry()
    (first, *_) = registry.family("thinking_tokens").versions
    registry.client().delete_model_version_tag("thinking_tokens", first.version, "decision")
    for alias in registry.family("thinking_tokens").aliases:
        registry.point("thinking_tokens", alias, None)
    listed = [json.loads(line) for line in output_of("--json").splitlines()]
    assert {row["alias"] for row in listed if row["family"] == "thinking_tokens"} == {None}
    assert "champion" in {row["alias"] for row in listed}
    shown = output_of("--out", str(page))
    for text in (shown, page.read_text("utf-8")):
        assert "thinking_tokens" in text
        assert "nan" not in text.lower().split()
        assert f"thinking_tokens version {first.version}:" not in text, "nothing was decided on it"
