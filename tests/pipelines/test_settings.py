"""Where an installation may lie."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from foretell.pipelines.cli.app import main
from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings, read_settings
from foretell.predictors.errors import InvalidInputError

AWKWARD = "it's größe #1 & more"


@pytest.mark.parametrize("name", ["100%", "a%20b", "what?", "two\nlines", os.fsdecode(b"\xff")])
def test_home_that_databases_cannot_address_is_refused(tmp_path: Path, name: str) -> None:
    # With `?` they lay outside of it, with `%` the first command failed after a minute.
    with pytest.raises(ValidationError, match="databases cannot lie below"):
        Settings(home=tmp_path / name / "home")


@pytest.mark.slow
def test_home_with_another_awkward_name_works(tmp_path: Path) -> None:
    import dagster as dg
    import mlflow

    from foretell.pipelines.definitions import build_resources

    settings = Settings(home=tmp_path / AWKWARD / "home")
    open_home(settings, create=True)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        assert instance.get_runs_count() == 0
    with dg.build_resources({"tracking": build_resources(settings)["tracking"]}) as resources:
        client = resources.tracking.registry().client()
    experiment = client.create_experiment("e", (settings.home / "mlflow" / "artifacts" / "e").as_uri())
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "text", "a.txt")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/a.txt") == "text"
    assert (settings.home / "mlflow" / "mlflow.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [AWKWARD]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, without any variable of ours."""
    for name in [name for name in os.environ if name.startswith("FORETELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    monkeypatch.setattr(sys, "argv", ["foretell", "config", "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    return {row["setting"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}


def test_what_is_nearer_to_the_command_wins_and_config_says_where_it_is_from(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '# mine\nhome = "state"\nkeep_runs = 1\nwindow_days = 2\nserve_token = "hush-hush-hush-hush"\ntracking_uri = "http://u:hush@h"\n'
    (folder / "foretell.toml").write_text(text, "utf-8")
    (folder / "state").mkdir()
    (folder / "state" / "foretell.toml").write_text(
        'keep_runs = 8\nlearn_rows = 3000\nprice_file = "mine.yaml"', "utf-8"
    )
    monkeypatch.setenv("FORETELL_WINDOW_DAYS", "5")
    settings = Settings(retrain_rows=9)
    assert (settings.keep_runs, settings.window_days, settings.learn_rows, settings.retrain_rows) == (1, 5, 3000, 9)
    assert settings.home == folder / "state"
    assert settings.price_file == folder / "state" / "mine.yaml"  # read from its own file's folder
    rows = config(capsys, monkeypatch)
    assert rows["keep_runs"]["from"] == f"{folder}/foretell.toml:3"
    assert rows["learn_rows"]["from"] == f"{folder}/state/foretell.toml:2"
    assert rows["window_days"]["from"] == "environment FORETELL_WINDOW_DAYS"
    assert rows["engine"]["from"] == "default"
    assert set(rows) == set(Settings.model_fields)
    assert all(row["meaning"] for row in rows.values())
    assert rows["serve_token"]["value"] == "set, not shown"
    assert "hush" not in str(rows)


def test_a_table_and_lists_of_the_file_are_read_as_the_variables_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "foretell.toml").write_text(
        'ui_hosts = ["a.example"]\nscheduler = "tcp://a:1"\n[downgrade]\n"gpt-5" = "gpt-5-mini"\n', "utf-8"
    )
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    filed = Settings()
    monkeypatch.setenv("FORETELL_UI_HOSTS", "b.example, c.example")
    monkeypatch.setenv("FORETELL_DOWNGRADE", "a=b")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://b:2")
    named = Settings()
    assert (filed.ui_hosts, filed.downgrade, filed.scheduler) == (("a.example",), {"gpt-5": "gpt-5-mini"}, "tcp://a:1")
    assert (named.ui_hosts, named.downgrade, named.scheduler) == (("b.example", "c.example"), {"a": "b"}, "tcp://b:2")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nwindw_days = 3", r"foretell.toml:2: unknown setting 'windw_days': did you mean 'window_days'\?"),
        ("a = 1\n[retrain]\nrows = 3", r"foretell.toml:1: unknown setting 'a'"),
        ("\n\nwindow_days = 'many'", r"foretell.toml:3: window_days=many is not usable: .*integer"),
        ("ui_hosts = [1, 'a b']", r"foretell.toml:1: ui_hosts=.* give names without scheme"),
        ("downgrade = 3", r"foretell.toml:1: downgrade=3 is not usable"),
        ("serve_token = 331", r"foretell.toml:1: serve_token is not usable"),
        ("window_days 3", r"foretell.toml: not TOML: .*line 1.*write `name = value` lines"),
        ("\xff", "foretell.toml: not TOML"),
    ],
)
def test_a_file_that_is_not_usable_is_refused_with_its_line_and_the_remedy(folder: Path, text: str, told: str) -> None:
    (folder / "foretell.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInputError, match=told) as refused:
        read_settings()
    assert "331" not in str(refused.value)


def test_the_home_cannot_move_itself(folder: Path) -> None:
    (folder / ".foretell").mkdir()
    (folder / ".foretell" / "foretell.toml").write_text('home = "elsewhere"', "utf-8")
    with pytest.raises(InvalidInputError, match=r"foretell.toml:1: `home` cannot be set in the home itself"):
        read_settings()
