"""An MLflow store that somebody else has written into: every command answers or says in a line what is wrong.

What a version's own code may do when it is loaded is another matter: SECURITY.md, a store is trusted to run code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from foretell.pipelines.settings import Settings
from tests.synthetic import write_jsonl

FAMILY = "thinking_tokens"
MEGABYTES = "[/red] =cmd()|' /C calc'!A0 \x1b[2J" + "x" * 5_000_000

TAMPERING = {
    "source-is-a-system-folder": "UPDATE model_versions SET source = '/etc'",
    "source-leaves-the-store": "UPDATE model_versions SET source = 'file:///tmp/../../etc/passwd'",
    "source-is-far-away": "UPDATE model_versions SET source = 'ftp://127.0.0.1:1/model'",
    "alias-names-nothing": "UPDATE registered_model_aliases SET version = 999",
    "no-versions": "DELETE FROM model_versions",
    "tags-are-markup": f"UPDATE model_version_tags SET value = '{MEGABYTES.replace(chr(39), chr(34))}'",
    "record-is-garbage": 'UPDATE registered_model_tags SET value = \'{"former": 5, "shadow": ["x"]}\'',
    "status-is-unknown": "UPDATE model_versions SET status = 'SOLD'",
    "run-is-gone": "UPDATE model_versions SET run_id = 'ffffffffffffffffffffffffffffffff'",
}
COMMANDS = (["models"], ["models", "--json"], ["doctor"], ["predict", FAMILY, "asked.jsonl"])


@pytest.mark.slow
@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
def test_every_command_answers_or_says_what_is_wrong(
    copied: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, statement: str
) -> None:
    from foretell.pipelines.cli.app import main

    with closing(sqlite3.connect(copied.home / "mlflow" / "mlflow.db")) as store, store:
        store.execute("PRAGMA foreign_keys = OFF")
        assert store.execute(statement).rowcount > 0
    monkeypatch.setenv("FORETELL_HOME", str(copied.home))
    monkeypatch.setenv("DAGSTER_HOME", str(copied.dagster_home))
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "asked.jsonl", [{"model": "SmolLM2-135M-Instruct", "prompt_text": "What is 2 + 2?"}])
    for command in COMMANDS:
        monkeypatch.setattr("sys.argv", ["foretell", *command])
        code = _exit_code(main)
        printed = capsys.readouterr()
        assert code in (0, 1, 2), printed.err
        assert "root:" not in printed.out + printed.err, "the store names a file, which nobody reads aloud"
        assert "\x1b[2J" not in printed.out + printed.err, "a store does not clear the screen"
        if code == 2:
            assert len(printed.err.strip().splitlines()[-1]) < 2_000


def _exit_code(main: Callable[[], None]) -> object:
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    return 0
