"""The command line: what is printed, where, and with which exit code.

Most cases call the entry point in this process; a few start a real one, which takes seconds each.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic import chat_call, write_jsonl

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def foretell(clean_environment: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Call the entry point as the shell would."""
    from foretell.pipelines.cli.app import main

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["foretell", *arguments])
        monkeypatch.setenv("DAGSTER_HOME", str(clean_environment / "dagster"))
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capfd.readouterr()
        return subprocess.CompletedProcess(list(arguments), code, printed.out, printed.err)

    return run


@pytest.fixture
def foretell_process(clean_environment: Path):
    """Start a real process."""

    def run(*arguments: str) -> Done:
        command = [sys.executable, "-m", "foretell.pipelines.cli.app", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return run


GOOD = [chat_call(f"good-{i}", prompt=f"Question {i}?", output_tokens=40 + i) for i in range(3)]

BAD_RECORDS = {
    "truncated line": json.dumps(chat_call("cut"))[:150],
    "another format": '{"colour": "blue", "size": 3}',
    "not an object": "[1, 2, 3]",
    "NaN tokens": json.dumps(chat_call("nan")).replace('"completion_tokens": 40', '"completion_tokens": NaN'),
    "negative tokens": chat_call("negative", output_tokens=-5, reasoning_tokens=0),
    "reasoning over output": chat_call("over", output_tokens=10, reasoning_tokens=99),
    "unknown model": chat_call("nameless", model="unknown"),
}


def test_bad_records_are_quarantined_and_good_rows_go_on(foretell, clean_environment: Path, tmp_path: Path) -> None:
    from foretell.assets.lake.landing.deliveries import load_rejects
    from foretell.assets.store.io import read_table

    file = write_jsonl(tmp_path / "traces.jsonl", [GOOD[0], GOOD[1], *BAD_RECORDS.values(), GOOD[2]])
    done = foretell("ingest", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    accepted = read_table(clean_environment / "lake", "request_traces")
    assert sorted(accepted["request_id"]) == ["good-0", "good-1", "good-2"]
    refused = [
        load_rejects(clean_environment / "landing"),
        read_table(clean_environment / "lake", "quarantined_traces"),
    ]
    told = {record["source_line"]: record for table in refused for record in table.to_dict("records")}
    assert row["n_read"] == len(accepted) + sum(map(len, refused)) == 3 + len(BAD_RECORDS)
    for line, name in enumerate(BAD_RECORDS, start=3):
        assert Path(told[line]["source_file"]).name == "traces.jsonl", name
        assert told[line]["reason"], name
        assert told[line]["remedy"], name


def test_same_id_twice_counts_once_and_differing_content_is_quarantined(
    foretell, clean_environment: Path, tmp_path: Path
) -> None:
    from foretell.assets.store.io import read_table

    file = write_jsonl(tmp_path / "twice.jsonl", [*GOOD, GOOD[0], chat_call("good-1", output_tokens=7)])
    done = foretell("ingest", str(file))
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "next: `foretell retrain thinking_tokens success`"
    assert len(read_table(clean_environment / "lake", "request_traces")) == 3
    (record,) = read_table(clean_environment / "lake", "quarantined_traces").to_dict("records")
    assert record["request_id"] == "good-1"
    assert record["source_line"] == 5


@pytest.mark.parametrize("content", ["", "\n\n", '{"colour": "blue"}\n', "plain words\n"])
def test_file_without_any_usable_row_exits_with_2_and_names_it(foretell, tmp_path: Path, content: str) -> None:
    file = tmp_path / "useless.jsonl"
    file.write_text(content, "utf-8")
    done = foretell("ingest", str(file))
    assert done.returncode == 2
    assert "useless.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_gzip_cut_short_keeps_what_came_before_the_cut(foretell, clean_environment: Path, tmp_path: Path) -> None:
    from foretell.assets.store.io import read_table

    lines = [chat_call(f"row-{i}", prompt=f"Question {i} {hash(i * 7919)}?") for i in range(600)]
    whole = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(whole[: len(whole) // 2])
    done = foretell("ingest", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert "cut.jsonl.gz" in done.stderr
    assert len(read_table(clean_environment / "lake", "request_traces")) > 100


def test_missing_file_exits_with_2(foretell) -> None:
    done = foretell("ingest", "no-such-file.jsonl")
    assert done.returncode == 2
    assert "no-such-file.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_real_process_ends_a_mistake_without_a_traceback(foretell_process) -> None:
    done = foretell_process("evaluate", "horoscopes", "--dataset", "starter")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("foretell: unknown family")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "horoscopes", "--dataset", "starter"), "unknown family"),
        (("evaluate", "thinking_tokens", "--dataset", "nowhere"), "nowhere"),
        (("evaluate", "thinking_tokens", "--dataset", "lake"), "foretell ingest"),
        (("predict", "thinking_tokens", "requests.xyz"), ".csv"),
        (("predict", "thinking_tokens", "missing.csv"), "no such file"),
        (("predict", "thinking_tokens"), "give the file of what is to be forecast"),
        (("predict", "learning_curves"), "one of the two"),
    ],
)
def test_mistake_is_one_line_with_a_remedy_and_exit_code_2(foretell, arguments, words) -> None:
    done = foretell(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_evaluate_prints_evaluation_rows_and_nothing_else(foretell_process) -> None:
    import pandas as pd

    from foretell.predictors.schemas import as_evaluation

    done = foretell_process("evaluate", "thinking_tokens", "--dataset", "starter", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    table = as_evaluation(rows)
    head = table[(table["segment"] == "all") & (table["split"] == "within") & (table["metric"] == "crps")]
    assert set(head["predictor"]) == {"ThinkingTokensPredictor", "global", "model"}
    assert pd.notna(head["noise_floor"]).all()
    assert (head["floor_source"] == "repeats").all()


def test_the_table_of_commands_says_what_the_commands_say() -> None:
    from foretell.pipelines.cli.app import COMMANDS, load_function

    for panel, summaries in COMMANDS.items():
        for name, summary in summaries.items():
            assert str(load_function(panel, name).__doc__).splitlines()[0] == summary, name


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom foretell.pipelines.cli.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'pydantic', 'mlflow', 'dagster', 'foretell.pipelines.settings'} & {*sys.modules}\n"
        "ours = [name for name in sys.modules if name.startswith('foretell.pipelines.cli.')]\n"
        "sys.exit(f'{heavy} {ours}' if heavy or ours != ['foretell.pipelines.cli.app'] else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "next-runs" in done.stdout


def test_version_is_that_of_the_package(foretell) -> None:
    from importlib.metadata import version

    assert foretell("--version").stdout == f"foretell {version('foretell')}\n"


@pytest.mark.parametrize(
    ("line", "offered"),
    [("foretell qu", {"quote"}), ("foretell quote --budg", {"--budget"}), ("foretell predict succ", {"success"})],
)
def test_a_shell_completes_commands_options_and_families(clean_environment: Path, line: str, offered: set[str]) -> None:
    # The name of the program is part of the protocol, so it is a process with that name.
    code = "import sys; sys.argv = ['foretell']; from foretell.pipelines.cli.app import main; main()"
    asked = {"_FORETELL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ, **asked}
    )
    assert set(done.stdout.split()) == offered, done.stderr
    assert not clean_environment.exists(), "nothing is made while a line is typed"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("qote", "x.jsonl"), "Did you mean 'quote'"),
        (("quote", "x.jsonl", "--modl", "m"), "--model"),
        (("evaluate", "thinking_tokns", "--dataset", "starter"), "did you mean 'thinking_tokens'?"),
        (("evaluate", "thinking_tokens", "--dataset", "startr"), "did you mean 'starter'?"),
        (("retrain", "learning-curves"), "did you mean 'learning_curves'?"),
        (("report", "fronteir"), "did you mean 'frontier'?"),
        (("fetch", "lcbd"), "did you mean 'lcdb'?"),
    ],
)
def test_what_is_nearly_right_is_offered(foretell, arguments, hint) -> None:
    done = foretell(*arguments)
    assert done.returncode == 2
    assert hint in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("quote", "x.jsonl", "--model", "m", "--requests"), "`--requests` needs `--json`"),
        (("route", "--budget", "5"), "`--budget` is about a file of requests"),
        (("fetch", "--list", "--all"), "one of the three"),
        (("predict", "thinking_tokens", "x.csv", "--metric", "loss"), "does not apply to thinking_tokens"),
        (("predict", "thinking_tokens", "x.csv", "--out", "x.png"), "`--out` must end in"),
    ],
)
def test_an_option_that_does_not_apply_is_refused_in_one_line(foretell, arguments, words) -> None:
    done = foretell(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_before_any_training_what_came_with_the_package_answers_or_a_command_is_named(foretell, tmp_path: Path) -> None:
    assert "foretell demo" in foretell("models").stdout
    requests = tmp_path / "requests.csv"
    requests.write_text("model,prompt_text\ngpt-5-mini,Why is the sky blue?\n", "utf-8")
    done = foretell("predict", "thinking_tokens", str(requests))
    assert done.returncode == 0
    assert done.stdout.startswith("model known, benchmark not: 1 row")
    assert "came with foretell" in done.stderr
    ladders = tmp_path / "ladders.jsonl"
    ladders.write_text('{"ladder_flops": [1e18, 1e19], "ladder_scores": [10, 20]}\n', "utf-8")
    done = foretell("compute", str(ladders))
    assert done.returncode == 0
    assert "families of public ladders" in done.stderr


def test_doctor_passes_in_a_fresh_home(foretell) -> None:
    done = foretell("doctor", "--json")
    findings = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, findings
    assert findings["mlflow folder"]["status"] == "ok"
    assert findings["registry"]["remedy"] == "foretell demo"


def test_bad_setting_is_named(foretell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_MIRROR", "/no/such/mirror")
    done = foretell("doctor", "--json")
    assert done.returncode == 1
    assert "FORETELL_MIRROR" in done.stdout


@pytest.mark.slow
def test_standard_input_is_landed_and_prompts_can_stay_out(clean_environment: Path) -> None:
    from foretell.assets.store.io import read_table

    lines = "".join(json.dumps(line) + "\n" for line in GOOD)
    done = subprocess.run(
        [sys.executable, "-m", "foretell.pipelines.cli.app", "ingest", "-", "--no-prompts"],
        input=lines,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    traces = read_table(clean_environment / "lake", "request_traces")
    assert len(traces) == 3
    assert traces["prompt_text"].isna().all()
    assert traces["query_id"].nunique() == 3


def test_column_map_must_be_a_mapping(foretell, tmp_path: Path) -> None:
    columns = tmp_path / "columns.yaml"
    columns.write_text("- output_tokens\n", "utf-8")
    done = foretell("ingest", "x.csv", "--columns", str(columns))
    assert done.returncode == 2
    assert "columns.yaml" in done.stderr


def test_empty_setting_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty FORETELL_HOME once scattered the state over the project's root.
    from foretell.pipelines.settings import Settings

    monkeypatch.setenv("FORETELL_HOME", "")
    assert Settings().home == Path.cwd() / ".foretell"
