"""The walks of five users, command by command, with files that real clients wrote (tests/fixtures/clients).

The fifth, a consumer of the registry with all families and two versions, is `test_consumer`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

CLIENTS = ROOT / "tests" / "fixtures" / "clients"
Run = Callable[..., str]


def rows_of(printed: str) -> list[dict]:
    """What ``--json`` prints: an object a line."""
    return [json.loads(line) for line in printed.splitlines()]


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("walks")]


@pytest.fixture
def foretell(clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Run:
    """Run a command as a shell does, in an empty folder and home; returns what it printed as its result."""
    from foretell.pipelines.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(clean_environment / "dagster"))

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["foretell", *arguments])
        capsys.readouterr()
        code = None
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        assert code in (0, None), printed.err
        return str(printed.out)

    return run


def test_a_batch_of_five_thousand_is_quoted_without_a_trace(foretell: Run, clean_environment: Path) -> None:
    ask = "Ticket {}: the parcel is late, what shall I tell the customer? Answer in three sentences."
    lines = [json.dumps({"messages": [{"role": "user", "content": ask.format(n)}]}) for n in range(5000)]
    Path("batch.jsonl").write_text("\n".join(lines), "utf-8")
    models = ["--model", "gpt-5", "--model", "claude-haiku-4-5"]
    rows = rows_of(foretell("quote", "batch.jsonl", *models, "--json"))
    assert sorted(row["model"] for row in rows) == ["claude-haiku-4-5", "gpt-5"]
    for row in rows:
        assert row["n_requests"] == 5000
        assert row["is_known_model"]
        assert 0 < row["usd_lower_90"] < row["usd_median"] < row["usd_upper_90"]
        # Nobody has seen such work: an error that all requests share does not average out.
        assert row["tokens_upper_90"] > 10 * row["tokens_lower_90"]
    assert not clean_environment.exists(), "a quote in passing makes no home"
    assert "gpt-5" in foretell("quote", "batch.jsonl", *models)


def test_calls_of_a_gateway_make_the_quote_of_the_next_batch(foretell: Run) -> None:
    assert "200" in foretell("ingest", str(CLIENTS / "litellm.jsonl.gz"))
    foretell("retrain", "thinking_tokens")
    models = ["--model", "gpt-5", "--model", "gpt-5-mini"]
    quoted = rows_of(foretell("quote", str(CLIENTS / "batch.jsonl"), *models, "--json"))
    truth = json.loads((CLIENTS / "batch_truth.json").read_text("utf-8"))
    for row in quoted:
        assert row["tokens_lower_90"] <= truth[row["model"]] <= row["tokens_upper_90"]
        assert row["tokens_upper_90"] < 2 * row["tokens_lower_90"], "a workload that was learnt has a narrow bill"
        assert row["is_known_model"]


def test_two_models_in_inspect_have_a_floor_a_frontier_and_reports(foretell: Run, monkeypatch) -> None:
    monkeypatch.setenv("FORETELL_PRICE_FILE", str(ROOT / "examples" / "prices.yaml"))
    foretell("ingest", str(CLIENTS / "inspect_a.eval"), str(CLIENTS / "inspect_b.eval"))
    foretell("retrain", "thinking_tokens")
    floors = rows_of(foretell("floor", "thinking_tokens", "--dataset", "lake", "--json"))
    everything = next(row for row in floors if row["segment"] == "all" and row["metric"] == "crps")
    # Lengths are log-normal with a spread of .4 in every cell; half of what two runs differ by on average.
    assert everything["noise_floor"] == pytest.approx(0.4 / math.sqrt(math.pi), rel=0.2)
    frontier = rows_of(foretell("report", "frontier", "--json"))
    assert {row["model"] for row in frontier} == {"mockllm/gpt-4o-mini", "mockllm/gpt-4.1"}
    better = max(frontier, key=lambda row: row["score"])
    assert better["model"] == "mockllm/gpt-4.1"
    foretell("report", "token-noise", "--out", "noise.html")
    assert "gpt-4.1" in Path("noise.html").read_text("utf-8")


def test_a_run_of_mlflow_is_extrapolated_and_drawn(foretell: Run, tmp_path: Path, monkeypatch) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path / 'own.db'}"
    client = mlflow.MlflowClient(uri)
    run = client.create_run(client.create_experiment("own", artifact_location=(tmp_path / "own").as_uri()))
    for step in range(1, 41):
        client.log_metric(run.info.run_id, "loss", 2.0 + 3.0 * step**-0.5, step=step)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    asked = ["--mlflow-run", run.info.run_id, "--metric", "loss", "--target-step", "100"]
    row = rows_of(foretell("predict", "learning_curves", *asked, "--json"))[0]
    assert row["lower_90"] <= 2.0 + 3.0 * 100**-0.5 <= row["upper_90"]
    foretell("predict", "learning_curves", *asked, "--out", "curve.png")
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
