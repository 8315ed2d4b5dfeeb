"""`foretell ingest` of a run that was killed before, and of names that a shell passes by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.pipelines.cli.data.ingest import FILES_ON_SCREEN, Options, run_ingest
from foretell.pipelines.cli.data.sql import query_lake
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError
from tests.assets.trace_lines import chat, write_jsonl


def test_what_a_killed_run_was_reading_is_removed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    for name in (".stdin-abc", ".mlflow-abc"):
        (settings.landing / name).mkdir(parents=True)
        (settings.landing / name / "stdin").write_text("a private prompt", "utf-8")
    path = write_jsonl(tmp_path / "a.jsonl", chat(0))
    assert run_ingest(settings, [str(path)], Options(), Output(json=True), curate=False) == 0
    assert not list(settings.landing.glob(".stdin-*")) + list(settings.landing.glob(".mlflow-*"))


def test_empty_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        run_ingest(Settings(home=tmp_path / "home"), [""], Options(), Output(json=True), curate=False)


def test_what_is_refused_can_be_read_at_once(tmp_path: Path) -> None:
    # "3 quarantined, see the quarantine" was followed by an empty table until the next night.
    settings = Settings(home=tmp_path / "home")
    path = write_jsonl(tmp_path / "a.jsonl", chat(0), {"colour": "blue"})
    assert run_ingest(settings, [str(path)], Options(), Output(json=True), curate=True) == 0
    refused = query_lake(settings, "select source_line, reason, remedy from quarantine")
    assert refused["source_line"].tolist() == [2]
    assert query_lake(settings, "select count(*) as n from request_traces")["n"].tolist() == [1]


def test_a_file_of_which_nothing_is_accepted_is_in_the_quarantine_too(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    path = write_jsonl(tmp_path / "a.jsonl", {"colour": "blue"})
    assert run_ingest(settings, [str(path)], Options(format="openai_jsonl"), Output(json=True), curate=True) == 2
    assert query_lake(settings, "select count(*) as n from quarantine")["n"].tolist() == [1]


def test_what_is_refused_of_many_files_does_not_fill_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A coding agent keeps hundreds of results of tools beside its sessions; the quarantine has them all."""
    for i in range(FILES_ON_SCREEN + 7):
        (tmp_path / f"{i}.txt").write_text(f"result {i}\n", "utf-8")
    settings = Settings(home=tmp_path / "home")
    assert run_ingest(settings, [str(tmp_path / "*.txt")], Options(), Output(json=True), curate=False) == 2
    told = capsys.readouterr().err.splitlines()
    assert sum("not recognised" in line for line in told) == FILES_ON_SCREEN
    assert told[-1].endswith("and 7 more; `foretell sql 'from quarantine'` lists all")
