"""Formats that feed the canonical tables: told by their content, read whole, every odd record refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.readers.core.records import ReadOptions, Reject
from foretell.assets.readers.reading import READERS, companions_of, detect, table_reader

FORMATS = Path(__file__).resolve().parents[4] / "shared" / "formats"
there = pytest.mark.skipif(
    not FORMATS.is_dir(), reason="the sample files of foreign formats are not beside the repository"
)


def read(path: Path, columns: dict[str, str] | None = None):
    """Format, rows by table, rejects; every row has the types of its table."""
    name = detect(path, columns)
    assert name is not None, f"{path} is not recognised"
    options = ReadOptions(companions=companions_of(path, name), columns=columns or {})
    rows: dict[str, list[dict]] = {}
    rejects = []
    for item in table_reader(name).rows(path, options):
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            typed = TABLES[item[0]].typed({"source": name, **item[1], "source_file": path.name}, 1)
            assert not isinstance(typed, Reject), typed
            rows.setdefault(item[0], []).append(typed)
    return name, rows, rejects


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@there
def test_results_and_samples_of_the_real_harness():
    (results,) = FORMATS.glob("lm_eval/results_*.json")
    (samples,) = FORMATS.glob("lm_eval/samples_*.jsonl")
    name, rows, rejects = read(results)
    assert (name, rejects) == ("lm_eval_results", [])
    (row,) = rows["benchmark_runs"]
    assert (row["item_id"], row["score"], row["standard_error_reported"], row["n_items"]) == ("*", 0.0, 0.0, 4)
    assert row["task_hash"].startswith("90aac3f7")
    name, sampled, rejects = read(samples)
    assert (name, rejects, len(sampled["benchmark_runs"])) == ("lm_eval_samples", [], 12)
    # The harness scores the first of three answers; all three are replicates here.
    assert {item["replicate"] for item in sampled["benchmark_runs"]} == {0, 1, 2}
    assert {item["run_id"] for item in sampled["benchmark_runs"]} == {row["run_id"]}


@there
def test_samples_without_their_results_are_refused_with_what_is_missing(tmp_path):
    (samples,) = FORMATS.glob("lm_eval/samples_*.jsonl")
    alone = write(tmp_path / samples.name, samples.read_text("utf-8"))
    _, rows, (reject,) = read(alone)
    assert rows == {}
    assert "results_<date>.json" in reject.remedy


@there
def test_a_log_of_inspect_feeds_runs_with_its_epochs_as_replicates():
    for path in FORMATS.glob("inspect_ai/*"):
        name, rows, rejects = read(path)
        assert (name, rejects) == ("inspect_ai", [])
        assert len(rows["benchmark_runs"]) == 15
        assert {row["replicate"] for row in rows["benchmark_runs"]} == {0, 1, 2}
        assert all(row["started_at"] for row in rows["benchmark_runs"])


def old_results(folder: Path, revision: str = "revision=step1000") -> Path:
    config = {"model": "hf-causal", "model_args": f"pretrained=org/net-160m,{revision}", "num_fewshot": 5}
    scores = {"sciq": {"acc": 0.75, "acc_stderr": 0.01}, "wikitext": {"word_perplexity": 0.9}, "broken": 3}
    content = {"results": scores, "versions": {"sciq": 0}, "config": config}
    return write(folder / "net_step1000.json", json.dumps(content))


def test_results_of_the_harness_before_0_4_with_a_checkpoint_as_a_model_of_its_own(tmp_path):
    _, rows, (reject,) = read(old_results(tmp_path))
    acc, perplexity = rows["benchmark_runs"]
    assert (acc["model"], acc["n_shot"], acc["score"], acc["standard_error_reported"]) == (
        "org/net-160m@step1000", 5, 75.0, 1.0,
    )  # fmt: skip
    assert (perplexity["score"], perplexity["higher_is_better"]) == (0.9, False)
    assert reject.source_line == 3
    assert "ladder_measurements" not in rows  # nobody has told the tokens of a step


def test_checkpoints_of_a_family_are_a_ladder_where_the_tokens_of_a_step_are_told(tmp_path):
    _, rows, _ = read(old_results(tmp_path), {"tokens_per_step": "=2e6"})
    (rung,) = rows["ladder_measurements"]
    assert (rung["n_params"], rung["n_train_tokens"], rung["score"]) == (160e6, 2e9, 75.0)
    assert rung["train_flops"] == 6 * 160e6 * 2e9
    assert rung["is_final"] is False


def test_tables_are_told_by_their_columns_and_a_map_says_what_is_called_otherwise(tmp_path):
    ladder = write(tmp_path / "l.csv", "family,model,task,params,tokens,score\nf,m,b,1e8,2e9,50\n")
    assert read(ladder)[1]["ladder_measurements"][0]["train_flops"] == 1.2e18
    curve = write(tmp_path / "c.csv", "run,step,metric,value\nr,1,val_loss,2.5\nr,2,val_loss,\n")
    points = read(curve)[1]["training_curves"]
    assert [p["higher_is_better"] for p in points] == [False, False]
    named = write(tmp_path / "s.csv", "who,what,accuracy\nm,b,50\n")
    assert detect(named) is None
    columns = {"model": "who", "score": "accuracy", "benchmark": "=gsm8k"}
    name, rows, _ = read(named, columns)
    assert (name, rows["benchmark_runs"][0]["benchmark"]) == ("score_table", "gsm8k")
    with_tokens = write(tmp_path / "t.csv", "model,prompt_tokens,completion_tokens,prompt\nm,1,2,x\n")
    assert detect(with_tokens) not in ("score_table", "training_log")


def test_a_table_named_by_format_that_lacks_a_column_says_which(tmp_path):
    path = write(tmp_path / "s.csv", "model,what\nm,b\n")
    (reject,) = list(table_reader("score_table").rows(path, ReadOptions()))
    assert "benchmark" in reject.remedy
    assert "--columns" in reject.remedy


def test_a_table_that_nobody_knows_is_shown_its_columns(tmp_path):
    from foretell.assets.readers.reading import read_traces

    read = read_traces(write(tmp_path / "s.csv", "modell,bench,points\na,b,3\n"))
    assert "(bench, modell, points)" in read.rejects["remedy"].iloc[0]
    assert "--columns" in read.rejects["remedy"].iloc[0]


def test_descriptions_in_yaml_and_in_precogs_json_lines(tmp_path):
    path = write(
        tmp_path / "d.yaml", "- benchmark: kites\n  task: Name the kite.\n- benchmark: moons\n  colour: red\n- 3\n"
    )
    name, rows, rejects = read(path)
    assert (name, [row["benchmark"] for row in rows["benchmark_descriptions"]]) == ("descriptions", ["kites"])
    assert ["colour" in r.reason for r in rejects] == [True, False]
    lines = write(tmp_path / "d.jsonl", json.dumps({"benchmark": "kites", "task": "Name it.", "subset": "test"}) + "\n")
    name, rows, _ = read(lines)
    assert (name, rows["benchmark_descriptions"][0]["subset"]) == ("description_table", "test")
    broken = write(tmp_path / "b.yaml", "- benchmark: kites\n  task: a: b: c\n")
    assert read(broken)[2][0].source_line == 2


def test_logs_of_lightning_and_of_wandb(tmp_path):
    log = write(
        tmp_path / "lightning_logs" / "version_3" / "metrics.csv",
        "epoch,lr-Adam,step,train_loss,val_acc\n0,0.1,10,2.5,\n0,0.1,10,,0.4\n1,0.1,20,nan,\n1,0.1,x,,0.5\n",
    )
    name, rows, (reject,) = read(log)
    points = rows["training_curves"]
    assert name == "training_log"
    assert {p["curve_id"] for p in points} == {"lightning_logs/version_3"}
    assert [(p["metric"], p["step"]) for p in points] == [("train_loss", 10.0), ("val_acc", 10.0), ("train_loss", 20.0)]
    assert math.isnan(points[-1]["value"])  # training diverged, which is no missing value
    assert reject.source_line == 5
    chart = write(
        tmp_path / "chart.csv", '"Step","a - val/acc","a - val/acc__MIN","b - val/acc"\n1,0.1,0.1,0.2\n2,0.3,0.3,\n'
    )
    name, rows, _ = read(chart)
    assert name == "training_log"
    assert [(p["curve_id"], p["step"], p["value"]) for p in rows["training_curves"]] == [
        ("a", 1.0, 0.1), ("b", 1.0, 0.2), ("a", 2.0, 0.3),
    ]  # fmt: skip
    history = [{"_step": s, "_runtime": s, "_timestamp": 1_795_000_000 + s, "val/loss": 3 - s} for s in (1, 2)]
    exported = write(tmp_path / "run-7.jsonl", "".join(json.dumps(line) + "\n" for line in history))
    _, rows, _ = read(exported)
    assert {(p["curve_id"], p["started_at"]) for p in rows["training_curves"]} == {("run-7", 1_795_000_000_000_000)}


@pytest.mark.parametrize(("scores", "points"), [((0.25, 1), [25, 100]), ((0.25, 30), [0.25, 30]), ((0, 1), [0, 1])])
def test_scores_that_are_all_shares_become_points(tmp_path, scores, points):
    lines = "".join(f"m,b{i},{score}\n" for i, score in enumerate(scores))
    path = write(tmp_path / "s.csv", f"Model,Benchmark,Accuracy\n{lines}")
    assert [float(row["score"]) for row in read(path)[1]["benchmark_runs"]] == pytest.approx(points)
    losses = write(tmp_path / "l.csv", "model,benchmark,metric,score\nm,b,val_loss,0.5\nm,c,val_loss,0.7\n")
    assert [float(row["score"]) for row in read(losses)[1]["benchmark_runs"]] == [0.5, 0.7], "a loss is no share"
    items = write(tmp_path / "i.csv", "model,benchmark,item,score\nm,b,1,0.5\nm,b,2,1\n")
    assert [float(row["score"]) for row in read(items)[1]["benchmark_runs"]] == [0.5, 1], "of items they stay"


def test_a_chart_in_the_working_folder_is_of_that_folder(tmp_path, monkeypatch):
    folder = tmp_path / "speedruns"
    folder.mkdir()
    (folder / "chart.csv").write_text('"Step","a - val/loss"\n1,3.5\n')
    monkeypatch.chdir(folder)
    _, rows, rejects = read(Path("chart.csv"))
    assert (rejects, [row["dataset"] for row in rows["training_curves"]]) == ([], ["speedruns"])


def test_event_files_of_tensorboard_or_a_line_that_says_what_to_install(tmp_path):
    summary = pytest.importorskip("tensorboard.summary")
    writer = summary.Writer(str(tmp_path / "runs" / "first"))
    for step in range(3):
        writer.add_scalar("val/acc", 0.1 * step, step)
    writer.close()
    (path,) = (tmp_path / "runs" / "first").iterdir()
    name, rows, rejects = read(path)
    assert (name, rejects) == ("tensorboard", [])
    assert [round(p["value"], 6) for p in rows["training_curves"]] == [0.0, 0.1, 0.2]
    assert {p["curve_id"] for p in rows["training_curves"]} == {"runs/first"}
    path.write_bytes(path.read_bytes()[:-7])
    assert len(read(path)[1]["training_curves"]) == 2


def test_every_reader_reads_requests_or_rows():
    assert all(hasattr(reader, "read") or hasattr(reader, "rows") for reader in READERS.values())
