"""Readers of curves, the examples of LCDB, what MLflow runs hold, and the Evaluation table."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.learning_curves import examples as curve_examples
from foretell.assets.families.learning_curves import inputs as curve_inputs
from foretell.assets.families.learning_curves.evaluation import curve_splits
from foretell.assets.families.learning_curves.family import FAMILY
from foretell.assets.judging.splits import judge_splits
from foretell.assets.readers.curves import lcdb
from foretell.assets.store.sources import Sources
from foretell.collect import lcdb as collect_lcdb
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.conftest import ROOT

STARTER = ROOT / "data" / "starter"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("sources")
    return Sources(starter=STARTER, cache=folder, mirror=None, home=folder)


@pytest.fixture(scope="module")
def examples(sources: Sources) -> pd.DataFrame:
    return FAMILY.examples("lcdb", sources)


def test_lcdb_has_the_published_size_and_the_split_of_the_reference(examples: pd.DataFrame) -> None:
    """4,367 curves of 248 data sets; 4,179 usable, 2,431 of them to train on (methods/learning-curves.md)."""
    table = lcdb.load_mean_curves(STARTER / "lcdb")
    assert len(table) == 72_224
    assert table.groupby(["dataset", "learner"]).ngroups == 4_367
    counts = examples[examples["cut"] == "10%"]["split"].value_counts()
    assert counts.to_dict() == {"train": 2_431, "test": 1_748}
    assert examples.groupby("dataset")["split"].nunique().max() == 1


def test_errors_of_the_last_value_are_those_of_the_reference(examples: pd.DataFrame) -> None:
    """Printed there: .1570 / .1377 / .0920 / .0277, floor of the mean .0062 with the outer splits respected."""
    test = examples[examples["split"] == "test"]
    error = (test["values"].map(lambda v: v[-1]) - test["value"]).abs().groupby(test["cut"]).mean()
    np.testing.assert_allclose(error[["10%", "20%", "40%", "80%"]], [0.1570, 0.1377, 0.0920, 0.0277], atol=5e-5)
    floor = (test["standard_error"] * np.sqrt(2 / np.pi)).mean()
    assert floor == pytest.approx(0.0062, abs=3e-4)


def test_nothing_of_the_future_is_among_the_inputs(examples: pd.DataFrame) -> None:
    some = examples.sample(300, random_state=0)
    for name in ("values", "standard_errors"):
        assert (some[name].map(len) == some["steps"].map(len)).all()
    assert (some["steps"].map(lambda steps: steps[-1]) < some["target_step"]).all()


def test_runs_are_summarised_as_by_hand(tmp_path: Path) -> None:
    header = (
        "openmlid,learner,size_train,size_test,outer_seed,inner_seed,traintime,score_train,score_valid,score_test\n"
    )
    values = {(0, 0): 0.5, (0, 1): 0.7, (1, 0): 0.6, (1, 1): 0.6}
    lines = [f"3,knn,16,9,{o},{i},0.1,1.0,0.5,{v}\n" for (o, i), v in values.items()]
    archive = tmp_path / "lcdb-0.1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as target:
        content = (header + "".join(lines)).encode()
        info = tarfile.TarInfo(collect_lcdb.MEMBER)
        info.size = len(content)
        target.addfile(info, io.BytesIO(content))
    runs = collect_lcdb.read_lcdb_archive(archive)
    one = collect_lcdb.summarise_runs(runs).iloc[0]
    assert (one["dataset"], one["learner"], one["step"], one["n"], one["n_splits"]) == ("3", "knn", 16.0, 4, 2)
    assert one["value"] == pytest.approx(0.6)
    assert one["sd"] == pytest.approx(np.std([0.5, 0.7, 0.6, 0.6], ddof=1))
    assert one["split_sd"] == 0.0
    collect_lcdb.write_starter_tables(runs, tmp_path / "starter")
    again = lcdb.load_mean_curves(tmp_path / "starter").iloc[0]
    np.testing.assert_allclose(again[["value", "sd"]].astype(float), one[["value", "sd"]].astype(float), atol=1e-5)
    assert lcdb.load_final_runs(tmp_path / "starter")["value"].tolist() == [0.5, 0.7, 0.6, 0.6]


def test_what_is_no_archive_or_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing"):
        collect_lcdb.read_lcdb_archive(tmp_path / "nothing.tar.gz")
    with pytest.raises(DatasetError, match="mean_curves"):
        lcdb.load_mean_curves(tmp_path)


def test_unknown_sets_are_named(sources: Sources) -> None:
    with pytest.raises(InvalidInputError, match="lcdb, ladder, training-runs"):
        FAMILY.examples("imagenet", sources)


def test_siblings_know_no_more_than_the_budget(examples: pd.DataFrame, sources: Sources) -> None:
    from foretell.predictors.learning_curves.context import attach_siblings

    rows = examples[examples["dataset"] == "3"]
    curves = curve_examples.usable_curves(curve_examples.load_lcdb(sources))
    same, complete = (attach_siblings(rows, curves, extent=extent) for extent in ("same_budget", "complete"))
    for row in same.itertuples():
        assert row.learner not in row.sibling_learners
        assert max(max(steps) for steps in row.sibling_steps) <= row.steps[-1]
    assert max(max(steps) for steps in complete["sibling_steps"].iloc[0]) == rows["target_step"].iloc[0]
    with pytest.raises(InvalidInputError, match="extent"):
        attach_siblings(rows, curves, extent="all")  # type: ignore[arg-type]


def test_inputs_are_read_from_files(tmp_path: Path) -> None:
    rows = pd.DataFrame({"steps": [[1, 2]], "values": [[0.1, 0.2]], "target_step": [8.0], "other": [1]})
    for name, write in (
        ("c.jsonl", lambda p: rows.to_json(p, orient="records", lines=True)),
        ("c.parquet", rows.to_parquet),
    ):
        write(tmp_path / name)
        table = curve_inputs.read_inputs(tmp_path / name)
        assert list(table.columns) == ["steps", "values", "target_step"]
        assert list(table["steps"].iloc[0]) == [1, 2]
    (tmp_path / "c.csv").write_text('steps,values,target_step\n"[1, 2]","[0.1, 0.2]",8\n', "utf-8")
    assert curve_inputs.read_inputs(tmp_path / "c.csv")["values"].iloc[0] == [0.1, 0.2]
    (tmp_path / "d.csv").write_text('steps,values\n"[1, 2]","[0.1, 0.2]"\n', "utf-8")
    with pytest.raises(InvalidInputError, match="target_step"):
        curve_inputs.read_inputs(tmp_path / "d.csv")


def test_logs_of_runs_are_curves_by_run_and_metric(tmp_path: Path) -> None:
    log = tmp_path / "history.csv"
    log.write_text("_step,val/loss,val/acc\n1,3.0,.1\n2,2.5,\n4,nan,.3\n", "utf-8")
    rows = curve_inputs.read_inputs(log, target_step=9)
    assert rows["steps"].tolist() == [[1, 2, 4], [1, 4]]
    assert np.isnan(rows["values"].iloc[0][2])
    assert rows["higher_is_better"].tolist() == [False, True]
    assert rows["target_step"].tolist() == [9, 9]
    assert curve_inputs.read_inputs(log, metric="val/acc", target_step=9)["values"].tolist() == [[0.1, 0.3]]
    with pytest.raises(InvalidInputError, match="has no metric 'f1'; it has 'val/loss', 'val/acc'"):
        curve_inputs.read_inputs(log, metric="f1", target_step=9)
    with pytest.raises(InvalidInputError, match="no `target_step`, where its runs end; give `--target-step`"):
        curve_inputs.read_inputs(log)
    table = tmp_path / "curves.csv"
    table.write_text("run,step,value,max_steps\na,2,.5,8\na,1,.4,8\nb,1,.2,16\n", "utf-8")
    rows = curve_inputs.read_inputs(table)
    assert rows["steps"].tolist() == [[1, 2], [1]]
    assert rows["target_step"].tolist() == [8, 16]


def test_a_run_of_mlflow_becomes_a_request(tmp_path: Path) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("digits", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment, run_name="small-net")
    for step, value in ((2, 0.6), (1, 0.4), (4, 0.7), (4, 0.71)):
        client.log_metric(run.info.run_id, "val_accuracy", value, step=step, timestamp=int(1e3 * (step + value)))
    client.log_metric(run.info.run_id, "val_loss", 1.0, step=1)
    row = curve_inputs.curve_from_mlflow(uri, run.info.run_id, "val_accuracy", target_step=20.0).iloc[0]
    assert row["steps"] == [1.0, 2.0, 4.0]
    assert row["values"] == [0.4, 0.6, 0.71], "the latest of two points stays"
    assert row["higher_is_better"]
    assert not curve_inputs.curve_from_mlflow(uri, run.info.run_id, "val_loss", target_step=9)["higher_is_better"].iloc[
        0
    ]
    with pytest.raises(InvalidInputError, match="target"):
        curve_inputs.curve_from_mlflow(uri, run.info.run_id, "val_accuracy")
    client.log_param(run.info.run_id, "epochs", 30)
    assert curve_inputs.curve_from_mlflow(uri, run.info.run_id, "val_accuracy")["target_step"].iloc[0] == 30.0
    with pytest.raises(InvalidInputError, match="val_accuracy, val_loss"):
        curve_inputs.curve_from_mlflow(uri, run.info.run_id, "accuracy", target_step=9)
    with pytest.raises(InvalidInputError, match="no such run"):
        curve_inputs.curve_from_mlflow(uri, "0" * 32, "accuracy", target_step=9)
    assert mlflow.__version__


@pytest.mark.slow
def test_the_evaluation_of_lcdb_has_every_split_and_floors(examples: pd.DataFrame, sources: Sources) -> None:
    """On 24 data sets and with few trees: the form of the table, not its numbers."""
    names = examples["dataset"].unique()[:24]
    few = examples[examples["dataset"].isin(names)]
    few = few.assign(split=np.where(few["dataset"].isin(names[:16]), "train", "test"))

    small = replace(FAMILY, predictor=partial(FAMILY.predictor, location_rounds=40, scale_rounds=20, n_prefixes=4))
    table = judge_splits(small, curve_splits(small, few, "lcdb", sources), dataset="lcdb")
    knows = ("", "_no_learner", "_same_budget", "_warm")
    splits = {f"new_benchmark{known}" for known in (*knows, "_new_model", "_single_run")}
    assert set(table["split"]) == splits
    errors = table[table["metric"] == "mae"]
    assert errors["noise_floor"].notna().all(), "no error stands without its floor"
    assert set(errors["segment"]) >= {"all", "cut=10%", "cut=20%", "cut=40%", "cut=80%"}
    assert (table.loc[table["metric"] == "log_likelihood", "value"] > 0).any()


def test_the_ladder_gives_a_row_per_task_model_and_cut_that_ends_where_training_ended() -> None:
    from foretell.assets.families.learning_curves.examples import LADDER_CUTS, examples_from_ladder, load_ladder_curves

    root = ROOT
    curves = load_ladder_curves(Sources(root / "data" / "starter", root, None, root))
    assert (curves["dataset"].nunique(), curves["learner"].nunique()) == (39, 18)
    rows = examples_from_ladder(curves)
    assert len(rows) == 39 * 18 * len(LADDER_CUTS)
    assert rows["query_id"].nunique() == 8
    assert all(max(steps) < target for steps, target in zip(rows["steps"], rows["target_step"], strict=True))
    ends = curves.sort_values("step").groupby(["dataset", "learner"])["value"].last()
    assert (rows["value"].to_numpy() == ends.reindex(pd.MultiIndex.from_frame(rows[["dataset", "learner"]]))).all()
