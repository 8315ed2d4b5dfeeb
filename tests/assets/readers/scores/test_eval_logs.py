"""Logs that the tools themselves wrote (tests/fixtures/evals), tables of a user, and what is wrong with some."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.readers.core.records import ReadOptions, Reject
from foretell.assets.readers.scores.eval_logs import is_eval_log, read_eval_logs
from foretell.assets.readers.scores.promptfoo import Promptfoo
from foretell.predictors.errors import DatasetError, InvalidInputError

EVALS = Path(__file__).parents[3] / "fixtures" / "evals"


def table(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_logs_of_the_tools_are_told_by_content_with_every_repeat() -> None:
    lm_eval = [next((EVALS / f"lm_eval_{name}").glob("samples_*.jsonl")) for name in ("small", "large")]
    for paths, names in (
        ([EVALS / "inspect_small.eval", EVALS / "inspect_large.eval"], ["inspect_small", "inspect_large"]),
        (lm_eval, ["adder-small", "adder-large"]),
        ([EVALS / "promptfoo_repeats.json.gz"], ["small", "large"]),
    ):
        assert all(map(is_eval_log, paths))
        scores, _ = read_eval_logs(paths)
        assert list(dict.fromkeys(scores["system"])) == names
        assert scores.groupby(["system", "item"]).size().tolist() == [3] * 12
        assert set(scores["score"]) == {0.0, 1.0}


def promptfoo_passes(path: Path) -> tuple[list[float], int]:
    """Values of the metric ``pass``, and how many results were refused."""
    items = list(Promptfoo().rows(path, ReadOptions()))
    rows = [item[1] for item in items if not isinstance(item, Reject)]
    return [row["score"] for row in rows if row["metric"] == "pass"], len(items) - len(rows)


def test_promptfoo_counts_what_its_own_statistics_count(tmp_path: Path) -> None:
    document = json.loads(gzip.decompress((EVALS / "promptfoo_repeats.json.gz").read_bytes()))
    passed, n_errors = promptfoo_passes(EVALS / "promptfoo_repeats.json.gz")
    assert sum(passed) == document["results"]["stats"]["successes"]
    assert (len(passed), n_errors) == (36, 0)
    document["results"]["results"][0] |= {"failureReason": 2, "error": "rate limit", "success": False, "score": 0}
    document["results"]["version"] = 4
    path = table(tmp_path / "results.json", json.dumps(document))
    passed, n_errors = promptfoo_passes(path)
    assert (len(passed), n_errors) == (35, 1)
    assert any("1 results without a score" in line for line in read_eval_logs([path])[1])


def test_a_table_names_its_repeats_clusters_and_settings(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "item;score;cluster;precision\nq1;1;d1;fp32\nq1;0;d1;fp32\nq2;True;d1;bf16\n")
    scores, _ = read_eval_logs([path])
    assert scores[["item", "replicate", "score", "cluster", "precision"]].to_numpy().tolist() == [
        ["q1", 0, 1.0, "d1", "fp32"], ["q1", 1, 0.0, "d1", "fp32"], ["q2", 0, 1.0, "d1", "bf16"],
    ]  # fmt: skip
    lines = [{"item": "q1", "score": 0.5, "system": name} for name in ("x", "y")]
    jsonl = table(tmp_path / "b.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert read_eval_logs([jsonl])[0]["system"].tolist() == ["x", "y"]
    pd.DataFrame(lines).to_parquet(tmp_path / "c.parquet")
    assert read_eval_logs([tmp_path / "c.parquet"])[0]["score"].tolist() == [0.5, 0.5]


def test_less_is_better_is_turned_round(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "item,score,metric,higher_is_better\nq,2,wer,false\n")
    scores, notes = read_eval_logs([path])
    assert scores["score"].tolist() == [-2.0]
    assert any("less is better" in line for line in notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,score,replicate\nq,1,0\nq,0,0\n", r"a.csv: line 3: item q has replicate 0 twice.*number the repeats"),
        ("item,score\nq,good\n", r"a.csv: line 2: the score 'good' is no number"),
        ("item,score\n,1\n", r"a.csv: line 2: no item"),
        ("item,score\nq,1,2\n", r"a.csv: line 2: 3 fields where the header has 2"),
        ("question,grade\nq,1\n", r"a.csv: holds no scores of items; give an Inspect log"),
        ("item,score\n", r"a.csv: holds no score"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((InvalidInputError, DatasetError), match=message):
        read_eval_logs([table(tmp_path / "a.csv", text)])


def test_rows_that_stand_there_twice_count_once(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "item,score,epoch\nq,1,1\nq,1,1\nq,0,2\n")
    scores, notes = read_eval_logs([path])
    assert scores["score"].tolist() == [1.0, 0.0]
    assert any("1 rows that stand there twice" in line for line in notes)


def test_different_scales_and_metrics_are_refused(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", "item,score\nq,0.7\nr,1\n")
    with pytest.raises(InvalidInputError, match="different scales: a goes up to 1, b up to 70"):
        read_eval_logs([a, table(tmp_path / "b.csv", "item,score\nq,70\nr,30\n")])
    other = table(tmp_path / "c.csv", "item,score,metric\nq,1,f1\n")
    with pytest.raises(InvalidInputError, match="share no metric: score; f1"):
        read_eval_logs([a, other])
    with pytest.raises(InvalidInputError, match="'acc' is not in all logs, which share score"):
        read_eval_logs([a], metric="acc")
    with pytest.raises(InvalidInputError, match="give each file once"):
        read_eval_logs([a, a])
