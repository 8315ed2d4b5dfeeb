"""The data sets of downstream scaling: readers, examples without leaks, tables, files of forecasts to make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.downstream_scaling.examples import examples_from_measurements
from foretell.assets.families.downstream_scaling.family import FAMILY, read_inputs
from foretell.assets.families.downstream_scaling.measurements import load_measurements, measurements_of_ladder
from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.lake.tables.curation import curate_table
from foretell.assets.store.sources import Sources
from foretell.collect.public_ladder_sets.obs_scaling import load_obs_scaling
from foretell.collect.public_ladder_sets.olmo_ladder import load_olmo_ladder
from foretell.collect.public_ladder_sets.pythia_arithmetic import load_pythia_arithmetic
from foretell.collect.public_ladder_sets.pythia_evals_scaling import load_pythia_ladders
from foretell.predictors.downstream_scaling.ladder import LadderRequests, read_ladders
from foretell.predictors.downstream_scaling.predictor import DownstreamScalingPredictor
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.conftest import ROOT


def sources(tmp_path: Path) -> Sources:
    return Sources(starter=ROOT / "data" / "starter", cache=tmp_path / "cache", mirror=None, home=tmp_path)


def measured(n_sizes: int = 8, n_seeds: int = 2, n_tasks: int = 3) -> pd.DataFrame:
    """A made-up table of the own ladder's checkpoints, as measurements."""
    rows = []
    for task in range(n_tasks):
        for k in range(n_sizes):
            for seed in range(n_seeds):
                params = 1e3 * 2.0**k
                for checkpoint in (0.9, 1.0):
                    tokens = 200 * params * checkpoint
                    rows.append({
                        "family": "toy", "model": f"w{k:03d}-s{seed}", "benchmark": f"task{task}", "level": 0,
                        "n_items": 75, "n_params": params, "n_train_tokens": tokens, "train_flops": 6 * params * tokens,
                        "seed": seed, "checkpoint": checkpoint, "loss": 3.0 - 0.2 * k, "chance": 0.1,
                        "score": float(np.clip(0.1 + 0.08 * k + 0.01 * seed + 0.02 * task, 0, 1)),
                    })  # fmt: skip
    return measurements_of_ladder(pd.DataFrame(rows))


def test_no_test_target_and_no_larger_model_is_ever_learnt_from() -> None:
    table = measured()
    examples = examples_from_measurements(table)
    targets = set(table.loc[table["is_target"], "run"])
    assert set(examples.loc[examples["split"] == "test", "target_run"]) == targets
    assert targets.isdisjoint(examples.loc[examples["split"] == "train", "target_run"])
    for row in examples.itertuples():
        assert targets.isdisjoint(row.ladder_runs)
        assert row.target_run not in row.ladder_runs
        assert max(row.ladder_flops) < row.target_flops / 1.2


def test_what_is_learnt_is_counted_by_family_and_what_is_judged_by_task() -> None:
    examples = examples_from_measurements(measured())
    by_split = examples.groupby("split")["query_id"]
    assert by_split.get_group("train").eq("family toy").all()
    assert by_split.get_group("test").str.startswith("task ").all()
    assert examples["cell_id"].is_unique


def test_examples_are_what_the_predictor_takes() -> None:
    examples = examples_from_measurements(measured())
    ladders = read_ladders(LadderRequests.validate(FAMILY.inputs(examples)))
    assert len(ladders) == len(examples)
    assert all(len(ladder) == len(set(ladder.runs)) for ladder in ladders), "a checkpoint stands as a model"
    assert "value" not in FAMILY.inputs(examples)
    assert "target_run" not in FAMILY.inputs(examples)


def test_scores_of_the_own_ladder_are_points_with_the_seeds_noise() -> None:
    table = measured()
    assert table["score"].between(10, 100).all()
    # Two seeds one point apart: a standard deviation of .7 points.
    np.testing.assert_allclose(table["standard_error"], np.sqrt(0.5))
    assert table["is_target"].groupby(table["run"]).first().sum() == 2


@pytest.mark.slow
def test_a_family_of_models_is_judged_or_learnt_from_and_needs_no_network(tmp_path: Path) -> None:
    offline = Sources(starter=ROOT / "data" / "starter", cache=tmp_path, mirror=None, home=tmp_path)
    examples = FAMILY.examples("public", offline)
    judged = set(examples.loc[examples["split"] == "test", "family"])
    learnt = examples[examples["split"] == "train"]
    assert {"olmo", "pythia"} < judged
    assert judged.isdisjoint(learnt["family"])
    assert learnt["query_id"].nunique() == learnt["family"].nunique() >= 15
    own = FAMILY.examples("ladder", offline)
    assert set(own.loc[own["split"] == "test", "source"]) == {"ladder"}
    assert own.loc[own["split"] == "test", "item_pass_rates"].notna().all(), "COD has items to answer from"
    assert set(own.loc[own["split"] == "train", "cell_id"]) == set(learnt["cell_id"])


def test_of_an_own_score_whose_items_nobody_told_the_noise_is_unknown(tmp_path: Path) -> None:
    # The floor of 100 made-up items was four points, and an error of one lay below it.
    lines = ["model,n_params,n_train_tokens,benchmark,score,n_items"]
    for size, score in ((1e8, 30), (4e8, 40), (2e9, 50)):
        lines += [f"m{size:g},{size},2e10,t,{score},100", f"m{size:g},{size},2e10,u,{score},"]
    (tmp_path / "ladder.csv").write_text("\n".join(lines) + "\n", "utf-8")
    ingest([tmp_path / "ladder.csv"], tmp_path / "landing")
    curate_table(TABLES["ladder_measurements"], tmp_path / "landing", tmp_path / "lake")
    examples = FAMILY.examples("lake", sources(tmp_path))
    errors = examples[examples["split"] == "test"].set_index("benchmark")["standard_error"]
    assert errors["t"] == pytest.approx(5.0)
    assert np.isnan(errors["u"])
    DownstreamScalingPredictor.with_defaults().predict(FAMILY.inputs(examples))


# -- files -----------------------------------------------------------------------------------------------
def test_forecasts_to_make_are_read_from_json_lines_and_parquet(tmp_path: Path) -> None:
    row = {"target_flops": 1e22, "ladder_flops": [1e18, 1e19, 1e20], "ladder_scores": [1.0, 2.0, 3.0]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n\n" + json.dumps(row) + "\n", "utf-8")
    lines = read_inputs(tmp_path / "a.jsonl")
    assert lines.index.tolist() == [1, 3], "the lines of the file"
    lines.to_parquet(tmp_path / "a.parquet")
    assert len(read_ladders(LadderRequests.validate(read_inputs(tmp_path / "a.parquet")))[0]) == 3


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "target_flops\n1e22\n", "a.csv:1: no `ladder_scores`; give the measured scores"),
        ("a.csv", "ladder_scores\nten\n", r"a.csv:1: `ladder_scores` must be a JSON list such as \[1, 2\]"),
        ("a.txt", "x", "expected one of"),
        ("a.jsonl", '{"target_flops": 1}', "a.jsonl:1: no `ladder_scores`"),
        ("a.jsonl", '{"ladder_scores": [1]}\n{', "a.jsonl:2: "),
        ("a.jsonl", "\n", "holds no row"),
        ("a.parquet", "x", "Parquet input source .*a.parquet"),
    ],
)
def test_bad_files_are_named_with_line_and_remedy(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(InvalidInputError, match=words):
        read_inputs(tmp_path / name)


LADDER = "Model,Params,Tokens,Task,Accuracy\na,1e8,2e9,t,.3\nb,4e8,8e9,t,.4\na,1e8,2e9,u,.5\nb,4e8,8e9,u,.6\n"


def test_a_table_with_a_row_per_model_asks_about_those_without_score(tmp_path: Path) -> None:
    path = tmp_path / "ladder.csv"
    path.write_text(LADDER + "big,1e9,2e10,t,\nhuge,1e10,2e11,t,\nbig,1e9,2e10,u,\n", "utf-8")
    rows = read_inputs(path)
    assert rows["benchmark"].tolist() == ["t", "t", "u"]
    assert rows["target_params"].tolist() == [1e9, 1e10, 1e9]
    assert rows["target_flops"].tolist() == [6 * 1e9 * 2e10, 6 * 1e10 * 2e11, 6 * 1e9 * 2e10]
    assert rows["ladder_scores"].tolist() == [[30, 40], [30, 40], [50, 60]], "shares are points"
    assert rows["ladder_runs"].tolist() == [["a", "b"]] * 3
    assert len(read_ladders(LadderRequests.validate(rows))[0]) == 2
    path.write_text(LADDER, "utf-8")
    assert read_inputs(path)["benchmark"].tolist() == ["t", "u"], "without targets, for `compute`"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c,1e9,many,t,.5", "ladder.csv:6: `n_train_tokens` is no number"),
        ("big,1e9,2e10,v,", "6: no model has a score on v"),
    ],
)
def test_bad_rows_of_a_ladder_are_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "ladder.csv"
    path.write_text(f"{LADDER}{line}\n", "utf-8")
    with pytest.raises(InvalidInputError, match=words):
        read_inputs(path)


def test_bad_csv_of_pythia_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    head = "model,checkpoint,task,fewshot,acc,acc_stderr\n"
    good = "EleutherAI/pythia-13b-deduped,143000,num_reasoning_arithmetic_addition_7,4,0.5,0.07\n"
    path.write_text(head + good, "utf-8")
    table = load_pythia_arithmetic([path])
    assert table.loc[0, "model"] == "12b"
    assert table.loc[0, "train_flops"] == pytest.approx(6 * 11_846_072_320 * 143_000 * 2_097_152)
    path.write_text(head + good + good.replace("0.5", "1.5"), "utf-8")
    with pytest.raises(DatasetError, match="line 3"):
        load_pythia_arithmetic([path])
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(DatasetError, match="lacks the columns"):
        load_pythia_arithmetic([path])


@pytest.mark.parametrize("load", [load_pythia_arithmetic, load_olmo_ladder, load_obs_scaling, load_pythia_ladders])
def test_readers_without_their_files_say_what_to_fetch(load: object) -> None:
    with pytest.raises(DatasetError, match="foretell fetch"):
        load([])  # type: ignore[operator]


def test_a_broken_result_file_of_pythia_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pythia-v1" / "pythia-70m" / "zero-shot" / "70m_step143000.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", "utf-8")
    with pytest.raises(DatasetError, match="70m_step143000"):
        load_pythia_ladders([path])


def test_an_olmo_run_without_its_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ladder-runs" / "190M-1xC.csv"
    path.parent.mkdir()
    path.write_text("throughput/total_tokens,x\n1e9,1\n", "utf-8")
    with pytest.raises(DatasetError, match="lacks the columns"):
        load_olmo_ladder([path])


def test_unknown_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="must be one of"):
        load_measurements("mmlu", sources(tmp_path))


# -- public data -------------------------------------------------------------------------------------------
def test_the_olmo_targets_are_the_published_scores(tmp_path: Path) -> None:
    golden = json.loads((ROOT / "tests" / "golden" / "olmo_ladder_errors.json").read_text("utf-8"))
    table = load_measurements("olmo-ladder", sources(tmp_path))
    largest = table[table["run"] == "peteish13_eval_final"].set_index("benchmark")["score"] / 100
    for task, actual in golden["actual"].items():
        # MMLU's four parts are weighted by their numbers of questions here.
        assert largest[task] == pytest.approx(actual, abs=1e-4 if task == "mmlu" else 1e-7)


@pytest.mark.parametrize(
    ("dataset", "n_test", "n_tasks"),
    [
        ("olmo-ladder", 16, 8),
        ("pythia-arithmetic", 10, 10),
        ("pythia", 36, 9),
        ("obs-scaling", 60, 15),
        ("sloth", 459, 96),
    ],
)
def test_public_sets_make_their_examples(dataset: str, n_test: int, n_tasks: int, tmp_path: Path) -> None:
    examples = FAMILY.examples(dataset, sources(tmp_path))
    test = examples[examples["split"] == "test"]
    assert len(test) == n_test
    assert test["benchmark"].nunique() == n_tasks
    assert examples["value"].between(0, 100).all()
    assert (examples["standard_error"] > 0).all()


def test_pythia_arithmetic_has_the_scores_that_the_method_note_cites(tmp_path: Path) -> None:
    table = load_measurements("pythia-arithmetic", sources(tmp_path))
    ends = table[table["is_final"] & (table["benchmark"] == "addition/4-shot")].sort_values("n_params")
    np.testing.assert_allclose(ends["score"], [1.4, 1.2, 2.5, 2.8, 71.6, 52.3, 77.4], atol=0.06)
