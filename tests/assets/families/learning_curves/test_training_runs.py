"""Public training runs as examples: what is observed, what is judged, and what a split leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.learning_curves.evaluation import run_splits
from foretell.assets.families.learning_curves.examples import PUBLIC, TRAINING_RUNS, examples_from_runs
from foretell.assets.families.learning_curves.family import FAMILY
from foretell.assets.judging.splits import judge_splits
from foretell.assets.registry.shipped import load_shipped
from foretell.assets.store.sources import Sources, read_public
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.examples import as_examples
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    home = tmp_path_factory.mktemp("home")
    return Sources(starter=ROOT / "data" / "starter", cache=home / "cache", mirror=None, home=home)


@pytest.fixture(scope="module")
def table(sources: Sources) -> pd.DataFrame:
    runs = read_public(sources.public, "training_curves")
    settings = runs.drop_duplicates("setting").groupby("workload")["setting"].head(1)
    return runs[runs["setting"].isin(settings) & ~runs["metric"].str.contains("train")]


def test_examples_are_beginnings_of_runs_and_their_last_logged_value(table: pd.DataFrame) -> None:
    examples = as_examples(examples_from_runs(table))
    row = examples[examples["cut"] == "40%"].iloc[7]
    curve, metric = (
        row["cell_id"].rsplit("/", 1)[0].split("/", 2)[:2],
        row["cell_id"].split("/", 2)[2].rsplit("/", 1)[0],
    )
    run = table[(table["curve_id"] == "/".join(curve)) & (table["metric"] == metric)]
    width = float(np.subtract(*np.quantile(run["value"], [0.95, 0.05])))
    assert row["steps"] == run["step"].tolist()[: round(0.4 * len(run))]
    assert row["value"] * width == pytest.approx(run["value"].iloc[-1], rel=1e-5)
    assert row["target_step"] == run["step"].iloc[-1]
    ends = table[(table["setting"] == row["setting"]) & (table["metric"] == metric)].groupby("curve_id")["value"].last()
    assert len(ends) == 3, "the floor is that of seeds"
    assert row["standard_error"] * width == pytest.approx(ends.astype("float64").std(), rel=1e-4)
    assert examples["standard_error"].notna().all()


def test_the_bundled_runs_are_small_and_a_registered_fit_learns_from_them(sources: Sources, tmp_path: Path) -> None:
    assert (sources.public / "training_curves.parquet").stat().st_size < 5e6
    assert FAMILY.dataset == PUBLIC
    shipped = load_shipped(sources.public, FAMILY.name)
    assert shipped is not None
    assert "public training runs" in shipped.learnt_from
    with pytest.raises(DatasetError, match="install foretell again"):
        read_public(tmp_path / "public", "training_curves")


def test_the_shipped_predictor_forecasts_whatever_is_brought(sources: Sources) -> None:
    shipped = load_shipped(sources.public, FAMILY.name)
    assert shipped is not None
    x = np.arange(1.0, 11.0)
    asked = pd.DataFrame({
        "steps": [x.tolist(), (60 * x).tolist(), [5.0]],
        "values": [(2 + 3 / x).tolist(), (0.8 - 0.5 / x).tolist(), [1.0]],
        "target_step": [40.0, 1200.0, 9.0], "metric": ["loss", "accuracy", "perplexity"],
    })  # fmt: skip
    forecast = shipped.predictor.predict_quantiles(asked, (0.05, 0.5, 0.95)).to_numpy()
    assert forecast[0, 0] < 2.075 < forecast[0, 2], "2 + 3 / 40"
    assert forecast[1, 0] < 0.775 < forecast[1, 2], "0.8 - 0.5 / 20"
    assert np.isfinite(forecast).all()


def test_a_workload_is_left_out_with_its_variants(table: pd.DataFrame) -> None:
    examples = examples_from_runs(table)
    split = next(iter(run_splits(FAMILY, examples)))
    assert split.name == "new_benchmark"
    for each in split.rounds:
        (base,) = each.outcomes["query_id"].unique()
        assert base not in set(each.train["query_id"])
        assert set(each.train["source"]) == {"algoperf", "modded-nanogpt"}
    variants = {tuple(sorted(r.outcomes["dataset"].unique())) for r in split.rounds}
    assert ("wmt", "wmt_glu_tanh") in variants


@pytest.mark.slow
def test_every_split_is_judged_next_to_the_floor_of_seeds(table: pd.DataFrame, sources: Sources) -> None:
    few = table[table["base"].isin(["ogbg", "librispeech_conformer", "track_1_short", "track_3_optimization"])]
    judged = judge_splits(FAMILY, run_splits(FAMILY, examples_from_runs(few)), dataset=TRAINING_RUNS)
    assert set(judged["split"]) == {"new_benchmark", "within", "new_source"}
    rows = judged[(judged["metric"] == "mae") & (judged["split"] == "new_benchmark")]
    assert set(rows["predictor"]) == {"learning_curves", "network", "last_value"}
    assert (rows["noise_floor"] > 0).all()
    assert "cut=20%" in set(rows["segment"])
