"""`foretell compare`, `power`, `samples` and `floor` of a file: logs of the tools, pages, newcomers' mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.pipelines.cli.judge.compare import compare
from foretell.pipelines.cli.judge.floor import floor
from foretell.pipelines.cli.judge.power import power
from foretell.pipelines.cli.judge.samples import Terms, sample_table, samples
from foretell.predictors.errors import InvalidInputError

EVALS = Path(__file__).parents[3] / "fixtures" / "evals"
PROMPTFOO = EVALS / "promptfoo_repeats.json.gz"
COMPARE = {"margin": None, "metric": None, "out": [], "json": False}
POWER = {
    "between": None, "within": None, "like": "sizes", "item_cost": 0.0, "run_cost": 1.0, "power": 0.8, "out": [],
    "json": False, "files": None, "metric": None,
}  # fmt: skip
SAMPLES = {
    "up_to": 20, "cost": None, "penalty": 0.0, "false_positives": None, "verifier": None, "out": [], "json": False,
    "metric": None,
}  # fmt: skip


def rows(text: str) -> pd.DataFrame:
    return pd.DataFrame([json.loads(line) for line in text.splitlines()])


@pytest.mark.slow
def test_compare_says_its_verdict_in_one_sentence_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = [EVALS / "inspect_small.eval", EVALS / "inspect_large.eval"]
    out = [tmp_path / "c.html", tmp_path / "c.png", tmp_path / "c.csv"]
    compare(files=files, **{**COMPARE, "out": out})
    page = out[0].read_text("utf-8")
    assert "Undecided: inspect_small - inspect_large is -0.222" in page
    assert "differ by up to 0.377 by luck" in page
    assert out[1].stat().st_size > 5_000
    assert len(pd.read_csv(out[2])) == 1
    capsys.readouterr()
    compare(files=files, **{**COMPARE, "json": True})
    assert rows(capsys.readouterr().out)["n_items"].tolist() == [6]
    compare(files=[PROMPTFOO], **{**COMPARE, "margin": 0.9})
    assert "equal within 0.9" in capsys.readouterr().out


def test_an_undecided_comparison_names_the_plan_that_decides_it(capsys: pytest.CaptureFixture) -> None:
    inputs = Path(__file__).parents[4] / "examples" / "inputs"
    files = [inputs / "eval_new.csv", inputs / "eval_old.csv"]
    compare(files=files, **COMPARE)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"next: `foretell power 0.075 --log {files[0]} --log {files[1]}`"
    power(difference=0.075, **{**POWER, "files": files})
    assert "To find a difference of 0.075 with 80 % power" in capsys.readouterr().out
    compare(files=files, **{**COMPARE, "margin": 0.5})
    assert "next" not in capsys.readouterr().err


def test_power_plans_from_numbers_from_logs_and_from_the_ladder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    power(difference=0.02, **{**POWER, "between": 0.05, "within": 0.3, "item_cost": 6.0, "json": True})
    plan = rows(capsys.readouterr().out)
    best = plan[(plan["effect"] == 0.02) & plan["is_cheapest"]].iloc[0]
    assert best["replicates"] == 6
    power(difference=0.1, **{**POWER, "files": [PROMPTFOO], "out": [tmp_path / "p.html"]})
    assert "clusters times 1" in (tmp_path / "p.html").read_text("utf-8")
    capsys.readouterr()
    power(difference=0.02, **{**POWER, "like": "seeds"})
    assert "two seeds of the bundled model ladder" in capsys.readouterr().out
    for wrong, message in (
        ({"between": 0.1}, "not some of each"),
        ({"like": "models"}, "seeds, sizes"),
        ({"files": [EVALS / "inspect_small.eval"]}, "two are needed"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            power(difference=0.02, **{**POWER, **wrong})


def test_systems_with_more_draws_of_the_same_items_are_relatives() -> None:
    rng = np.random.default_rng(0)
    skills = {"new": (10, 0.5), **{f"known-{k}": (40, 0.2 + 0.15 * k) for k in range(5)}}
    parts = []
    for system, (n, skill) in skills.items():
        rate = np.where(np.arange(300) % 3 == 0, 0.0, rng.beta(skill, 1.0, 300))
        right = rng.random((300, n)) < rate[:, None]
        parts.append(
            pd.DataFrame({"system": system, "item": np.repeat(np.arange(300), n), "score": right.ravel() * 1.0})
        )
    table, notes = sample_table(pd.concat(parts), Terms(), 0.0)
    assert [note for note in notes if "5 systems with more draws" in note] == [
        "new: beyond its own draws by 5 systems with more draws of these items."
    ]
    assert set(table["system"]) == set(skills)


def test_samples_forecast_beyond_what_was_drawn(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    samples(files=[PROMPTFOO], **{**SAMPLES, "json": True})
    table = rows(capsys.readouterr().out)
    assert table.groupby("system")["pass_at_k"].apply(lambda s: s.is_monotonic_increasing).all()
    assert table.loc[table["k"] > 3, "is_measured"].eq(False).all()
    verifier = tmp_path / "v.csv"
    verifier.write_text("score,accepted\n0,1\n0,0\n0,0\n0,0\n1,1\n", "utf-8")
    samples(files=[PROMPTFOO], **{**SAMPLES, "verifier": verifier, "cost": [0.02, 0.1], "out": [tmp_path / "s.html"]})
    page = (tmp_path / "s.html").read_text("utf-8")
    assert "accepts 25.0 %" in page
    assert "For the money of one large" in page
    verifier.write_text("score,accepted\n1,1\n", "utf-8")
    for wrong, message in (
        ({"verifier": verifier}, "no answer is wrong"),
        ({"cost": [0.1, 0.2, 0.3]}, "3 times for 2 systems"),
        ({"verifier": tmp_path / "none.csv"}, "no such file"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            samples(files=[PROMPTFOO], **{**SAMPLES, **wrong})
    parts = tmp_path / "parts.csv"
    parts.write_text("item,score\nq,0.5\n", "utf-8")
    with pytest.raises(InvalidInputError, match=r"right \(1\) or wrong \(0\)"):
        samples(files=[parts], **SAMPLES)


@pytest.mark.slow
def test_floor_of_a_file_needs_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    floor(family=str(PROMPTFOO), file=None, dataset=None, out=[], json=True)
    table = rows(capsys.readouterr().out).set_index(["segment", "metric"])
    assert table.loc[("all", "mse"), "noise_floor"] == pytest.approx(
        2 / 9
    )  # the mean variance of three runs of 12 cells
    traces = Path(__file__).parents[4] / "data" / "starter" / "local_llm_traces.jsonl.gz"
    floor(family="thinking_tokens", file=traces, dataset=None, out=[], json=True)
    assert rows(capsys.readouterr().out)["noise_floor"].notna().any()
    text = tmp_path / "notes.txt"
    text.write_text("nothing\n", "utf-8")
    for given, message in (
        ({"family": "success"}, "name a FAMILY and a --dataset"),
        ({"family": "success", "file": PROMPTFOO, "dataset": "lake"}, "name a FAMILY"),
        ({"family": "learning_curves", "file": PROMPTFOO}, "is no eval log"),
        ({"family": str(text)}, "no scores of items and no request"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            floor(**{"family": None, "file": None, "dataset": None, "out": [], "json": False, **given})
