"""The paths of users with scores, training runs and ladders of their own: ingest, retrain, predict; each twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.pipelines.cli.data.ingest import Options, run_ingest
from foretell.pipelines.cli.forecast.predict import predict
from foretell.pipelines.cli.operate.retrain import retrain
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings, quiet_environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own_rows")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home."""
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    settings = Settings(home=tmp_path / "home")
    quiet_environment(settings)
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
    return settings


def brought(settings: Settings, paths: list[str], capsys, **options) -> list[dict]:
    """What `foretell ingest --json` says of each file."""
    capsys.readouterr()
    assert run_ingest(settings, paths, Options(**options), Output(json=True), curate=True) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def retrained(settings: Settings, family: str, capsys) -> tuple[pd.DataFrame, str]:
    """The examples that the champion of a family was made of, and what `foretell retrain` said on the way."""
    capsys.readouterr()
    retrain([family])
    return pd.read_parquet(settings.home / "lake" / f"{family}_examples.parquet"), capsys.readouterr().err


def forecast(settings: Settings, family: str, rows: list[dict], folder: Path) -> pd.DataFrame:
    file, out = folder / "asked.jsonl", folder / "forecast.csv"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    predict(family=family, file=file, out=[out])
    return pd.read_csv(out)


def quarantined(settings: Settings) -> pd.DataFrame:
    return pd.read_parquet(settings.home / "lake" / "quarantine.parquet")


def own_ladder(path: Path, *, broken: bool = True) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for day, n_params in enumerate((1e7, 3e7, 1e8, 3e8, 1e9), start=10):
        for task, guess in {"qa": 25.0, "code": 0.0, "sums": 0.0}.items():
            share = 1 / (1 + (1e18 / (6 * n_params * 20 * n_params)) ** 0.5)
            score = guess + (100 - guess) * share + rng.normal(0, 0.5)
            rows.append(["mine", f"m{n_params:.0e}", task, n_params, 20 * n_params, round(score, 2), f"2026-11-{day}"])
    if broken:
        rows += [
            ["mine", "m3e9", "qa", 3e9, 6e10, 130, "2026-11-20"],
            ["mine", "m3e9", "code", "big", "", 7, "2026-11-20"],
        ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["family", "model", "benchmark", "params", "tokens", "score", "started_at"], *rows])
    return path


def test_a_ladder_of_ones_own_forecasts_its_next_model(settings: Settings, tmp_path: Path, capsys) -> None:
    ladder = own_ladder(tmp_path / "ladder.csv")
    (report,) = brought(settings, [str(ladder)], capsys)
    assert (report["n_read"], report["n_rows"], report["n_rejects"]) == (17, 16, 1)
    assert sorted(quarantined(settings)["source_line"]) == [17, 18]
    examples, _ = retrained(settings, "downstream_scaling", capsys)
    own = examples[examples["is_own"]]
    assert set(own["source"]) == {"ladder_table"}
    assert own["started_at"].notna().all()
    asked = {
        "benchmark": "code", "target_params": 1e10, "target_tokens": 2e11, "ladder_params": [1e7, 1e8, 1e9],
        "ladder_tokens": [2e8, 2e9, 2e10], "ladder_scores": [3.3, 25.0, 77.0],
    }  # fmt: skip
    told = forecast(settings, "downstream_scaling", [asked], tmp_path)
    assert 50 < told["median"].iloc[0] <= 100
    (again,) = brought(settings, [str(ladder)], capsys)
    assert again["status"] == "known"
    _, remarks = retrained(settings, "downstream_scaling", capsys)
    assert "nothing has changed" in remarks
    assert (
        len(settings.open_registry().family("downstream_scaling").versions) <= 2
    )  # one fit, and its baseline where it serves


def harness_files(folder: Path, n_models: int, n_tasks: int) -> None:
    """Results of the harness: a file per model, of one day each; one file is cut short."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    ease, skill = rng.normal(0, 1, n_tasks), rng.normal(0, 1, n_models)
    for number in range(n_models):
        results = {
            f"task{t}": {"acc,none": float(1 / (1 + np.exp(-(ease[t] + skill[number])))), "acc_stderr,none": 0.01}
            for t in range(n_tasks)
        }
        content = {
            "results": results, "n-shot": dict.fromkeys(results, 0), "date": 1_794_000_000 + 86_400 * number,
            "model_name": f"own/net-{number}",
            "config": {"model": "hf", "model_args": {"pretrained": f"own/net-{number}"}},
            "n-samples": {name: {"effective": 500} for name in results},
        }  # fmt: skip
        (folder / f"results_{number}.json").write_text(json.dumps(content), "utf-8")
    (folder / "results_cut.json").write_text('{"results": {"task0": {"acc,none": 0.', "utf-8")


def inspect_log(path: Path) -> Path:
    samples = [
        {"id": f"q{n}", "epoch": epoch, "input": f"What is {n}?", "scores": {"match": {"value": "C" if n % 3 else "I"}},
         "model_usage": {"own/net-0": {"input_tokens": 9, "output_tokens": 20 + n, "total_tokens": 29 + n}},
         "started_at": "2026-11-20T10:00:00Z"}
        for n in range(6) for epoch in (1, 2)
    ]  # fmt: skip
    task = {"task": "inspected", "task_id": "t", "eval_id": "e1", "model": "own/net-0",
            "created": "2026-11-20T10:00:00Z",            "config": {"epochs": 2}}  # fmt: skip
    path.write_text(json.dumps({"version": 2, "status": "success", "eval": task, "samples": [*samples, 7]}), "utf-8")
    return path


def test_logs_of_evaluations_forecast_a_model_that_was_not_run(settings: Settings, tmp_path: Path, capsys) -> None:
    logs = tmp_path / "logs"
    harness_files(logs, n_models=8, n_tasks=6)
    inspect_log(logs / "log.json")
    (logs / "described.yaml").write_text(
        "\n".join(
            f"- benchmark: task{t}\n  task: Answer short questions of kind {t}.\n  metric: acc" for t in range(6)
        ),
        "utf-8",
    )
    reports = {Path(r["path"]).name: r for r in brought(settings, [str(logs)], capsys)}
    assert reports["results_cut.json"]["status"] == "unusable"
    assert reports["log.json"]["tables"] == {"request_traces": 12, "benchmark_runs": 12}
    assert reports["log.json"]["n_rejects"] == 1
    assert reports["described.yaml"]["tables"] == {"benchmark_descriptions": 6}
    examples, _ = retrained(settings, "benchmark_scores", capsys)
    own = examples[examples["is_own"]]
    assert len(own) == 8 * 6 + 1
    assert own["started_at"].notna().all()
    assert own.loc[own["benchmark"] == "inspected", "value"].iloc[0] == pytest.approx(100 * 4 / 6)
    asked = {"benchmark": "task3", "task": "Answer short questions of kind 3.", "metric": "acc", "model": "own/net-9"}
    told = forecast(settings, "benchmark_scores", [asked], tmp_path)
    assert 0 <= told["median"].iloc[0] <= 100
    again = brought(settings, [str(logs)], capsys)
    assert {r["status"] for r in again} == {"known", "unusable"}
    assert "nothing has changed" in retrained(settings, "benchmark_scores", capsys)[1]


def experiment(settings: Settings, n_finished: int) -> tuple[str, str]:
    """Finished runs and one that goes on, in the installation's own store; its address, the id of the latter."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    rng = np.random.default_rng(2)
    client = MlflowClient(tracking_uri=settings.mlflow_uri)
    number = client.create_experiment("pretraining")
    start = 1_794_000_000_000
    for run_number in range(n_finished + 1):
        is_open = run_number == n_finished
        run = client.create_run(number, run_name=f"run-{run_number}", start_time=start + 3_600_000 * run_number)
        end, speed = rng.uniform(0.6, 0.9), rng.uniform(3, 8)
        steps = range(1, 9 if is_open else 21)
        points = [
            Metric("val_acc", end * (1 - np.exp(-step / speed)) + rng.normal(0, 0.003), start + step, 100 * step)
            for step in steps
        ]
        client.log_batch(run.info.run_id, metrics=points, params=[Param("max_steps", "2000")])
        if not is_open:
            client.set_terminated(run.info.run_id, end_time=start + 3_600_000 * run_number + 60_000)
    empty = client.create_run(number, run_name="never-logged")
    client.set_terminated(empty.info.run_id)
    return f"mlflow-runs:{settings.mlflow_uri}/pretraining", run.info.run_id


def few_curves(settings: Settings, folder: Path, n_datasets: int = 24) -> Settings:
    """The same home with a tenth of the bundled curves, of which a fit takes seconds."""
    (folder / "lcdb").mkdir(parents=True)
    for file in (settings.starter / "lcdb").glob("*.parquet"):
        table = pd.read_parquet(file)
        names = sorted(table["dataset"].unique())[:n_datasets]
        table[table["dataset"].isin(names)].to_parquet(folder / "lcdb" / file.name, index=False)
    return settings.model_copy(update={"starter": folder})


def test_runs_of_an_experiment_forecast_the_one_that_goes_on(settings: Settings, tmp_path: Path, capsys) -> None:
    from foretell.pipelines.cli.forecast.curves import CurveOptions, run_predict_curves
    from foretell.pipelines.home import open_home

    settings = few_curves(settings, tmp_path / "starter")
    open_home(settings, create=True)
    settings.open_registry()
    address, going = experiment(settings, 40)
    (report,) = brought(settings, [address], capsys)
    assert report["tables"] == {"training_curves": 40 * 20 + 8}
    assert report["n_rejects"] == 1  # the run without a metric
    examples, _ = retrained(settings, "learning_curves", capsys)
    own = examples[examples["is_own"]]
    assert own["query_id"].nunique() == 40
    assert not own["query_id"].str.contains(going).any()
    out = tmp_path / "curve.csv"
    run_predict_curves(settings, None, CurveOptions(mlflow_run=going, metric="val_acc"), Output(out=[out]))
    told = pd.read_csv(out).iloc[0]
    assert told["target_step"] == 2000
    assert 0.4 < told["median"] < 1.0
    (again,) = brought(settings, [address], capsys)
    assert (again["status"], again["n_read"]) == ("known", 0)
    assert "nothing has changed" in retrained(settings, "learning_curves", capsys)[1]
