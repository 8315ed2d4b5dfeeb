"""`foretell fetch`: public data in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretell.pipelines.cli.data.fetch import fetch, fetch_public_data
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_names_every_set_with_its_licence(capsys) -> None:
    fetch(list_=True, json=True)
    rows = rows_of(capsys)
    assert "pricing-reversal" in {row["name"] for row in rows}
    assert all(row["licence"] and row["files"] > 0 for row in rows)


@pytest.mark.mirror
def test_fetch_from_a_mirror_names_each_file(mirror: Path, tmp_path: Path, capsys) -> None:
    settings = Settings(home=tmp_path, mirror=str(mirror))
    fetch_public_data(settings, ["lrm-token-economy"], Output(json=True))
    for row in rows_of(capsys):
        assert Path(row["file"]).is_file()
        assert len(row["sha256"]) == 64


@pytest.mark.slow
@pytest.mark.mirror
def test_a_fetched_set_lies_in_the_lake_under_its_name(mirror: Path, tmp_path: Path, monkeypatch) -> None:
    from foretell.assets.store.io import read_table

    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    settings = Settings(home=tmp_path / "home", mirror=str(mirror))
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
    fetch_public_data(settings, ["aider-leaderboard"], Output(json=True), land=True)
    assert not (settings.home / "lake").exists()  # no reader knows it
    fetch_public_data(settings, ["lrm-token-economy"], Output(json=True), land=True)
    assert set(read_table(settings.home / "lake", "request_traces")["source"]) == {"public/lrm-token-economy"}


def test_fetch_without_a_name_says_what_to_do() -> None:
    for options in ({}, {"names": ["pythia"], "all_": True}, {"list_": True, "all_": True}):
        with pytest.raises(InvalidInputError, match="--list"):
            fetch(**options)


def test_a_name_that_is_nearly_right_is_offered(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'pricing-reversal'"):
        fetch_public_data(Settings(home=tmp_path), ["pricing_reversal"], Output())
