"""Readers, examples and evaluation of the benchmark-score family."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.benchmark_scores.evaluation import score_splits, time_forward, with_known_scores
from foretell.assets.families.benchmark_scores.examples import (
    examples_from_scores,
    load_score_tables,
    prepare_tables,
)
from foretell.assets.families.benchmark_scores.family import FAMILY
from foretell.assets.judging.known_noise import add_noise_floors
from foretell.assets.judging.splits import judge_splits
from foretell.assets.readers.scores.prepared import (
    body_of_readme,
    describe_harness_tasks,
    describe_mteb_tasks,
    load_mteb_snapshot,
)
from foretell.assets.store.sources import Sources
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.metrics import evaluate
from foretell.predictors.schemas.benchmark_runs import BenchmarkRuns
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions, BenchmarkModels
from tests.predictors.benchmark_scores.synthetic_scores import make_scores


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Sources with a mirror beside which the prepared tables lie; skips where there is none."""
    mirror = os.environ.get("FORETELL_MIRROR", "")
    if not (Path(mirror).parent / "snapshots" / "mteb").is_dir():
        pytest.skip("the prepared tables are not here: they lie beside the mirror that FORETELL_MIRROR names")
    home = tmp_path_factory.mktemp("home")
    return Sources(home, home, mirror, home)


def _tables(seed: int = 0, n_benchmarks: int = 30) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows = make_scores(n_benchmarks, 8, seed=seed)
    described = rows.drop_duplicates("benchmark").reset_index(drop=True)
    described = described.reindex(columns=list(BenchmarkDescriptions.to_schema().columns))
    days = pd.to_timedelta(np.arange(len(described)) * 30, unit="D")
    described["published_at"] = (pd.Timestamp("2020-01-01", tz="UTC") + days).as_unit("us")
    runs = rows.rename(columns={"value": "score"}).assign(
        run_id=rows["model"] + "/" + rows["benchmark"], item_id="*", replicate=0, filter="none", n_shot=None,
        higher_is_better=True, standard_error_reported=1.0, n_replicates=1, harness="made up",
        started_at=pd.NaT,
    )  # fmt: skip
    models = rows.drop_duplicates("model").assign(released_at=pd.Timestamp("2020-03-01", tz="UTC"))
    return (
        BenchmarkDescriptions.validate(described),
        BenchmarkRuns.validate(runs.reindex(columns=list(BenchmarkRuns.to_schema().columns))),
        BenchmarkModels.validate(models.reindex(columns=list(BenchmarkModels.to_schema().columns))),
    )


# -- readers -------------------------------------------------------------------------------------------
def test_mteb_metadata_becomes_the_seven_fields_without_counts() -> None:
    tasks = pd.DataFrame({
        "task": ["FooClassification"], "description": ["Topics of forum posts."], "type": ["Classification"],
        "modalities": ["text"], "languages": ["deu|eng"], "main_metric": ["accuracy"], "domains": ["Web|Written"],
        "date": ["('2019-01-01', '2020-05-31')"], "subtypes": ["Topic classification"], "license": ["mit"],
        "annotations": ["human-annotated"], "sample_creation": ["found"], "reference": ["https://example.org"],
        "st_num_samples": [2048.0], "st_text_statistics__average_text_length": [120.0],
        "st_label_statistics__unique_labels": [6.0],
    })  # fmt: skip
    row = describe_mteb_tasks(tasks).iloc[0]
    assert (row["n_classes"], row["n_items"], row["languages"]) == (6, 2048, "deu|eng")
    assert row["difficulty"] == "topic classification; short texts."
    assert row["published_at"] == pd.Timestamp("2020-05-31", tz="UTC")
    assert not any("2048" in str(row[name]) for name in ("task", "data_collection", "difficulty", "subset"))


def test_a_task_without_statistics_has_none() -> None:
    told = ["description", "type", "languages", "main_metric", "domains", "date", "subtypes", "license", "annotations",
            "sample_creation", "reference"]  # fmt: skip
    row = describe_mteb_tasks(pd.DataFrame([{"task": "Foo", **dict.fromkeys(told), "type": "STS"}])).iloc[0]
    assert pd.isna(row["n_items"])
    assert pd.isna(row["published_at"])


def test_harness_readmes_describe_tasks_and_group_those_of_one_folder() -> None:
    text = "# BLiMP\n\n### Paper\n\nMinimal pairs of sentences probe grammar.\n\n### Citation\n\n```\n@x\n```\n"
    readmes = {"blimp": body_of_readme(text, None)}
    assert readmes == {"blimp": "Minimal pairs of sentences probe grammar."}
    described = describe_harness_tasks(["blimp_drop_argument", "blimp_causative", "piqa"], readmes).set_index(
        "benchmark"
    )
    assert described.loc["blimp_causative", "task"] == "Minimal pairs of sentences probe grammar."
    assert described["leak_group"].nunique() == 2
    assert described.loc["blimp_causative", "n_classes"] == 2


# -- examples ------------------------------------------------------------------------------------------
def test_what_is_no_score_of_a_described_benchmark_is_left_out() -> None:
    descriptions, runs, models = _tables()
    runs.loc[0, "score"], runs.loc[1, "benchmark"], runs.loc[2, "higher_is_better"] = 100.5, "unheard", False
    _, kept, _ = prepare_tables(descriptions, runs, models)
    assert sorted(set(runs.index) - set(kept.index)) == [0, 1, 2]


def test_a_description_that_names_its_benchmark_is_redacted_and_one_that_hides_a_score_too() -> None:
    descriptions, runs, models = _tables()
    descriptions["benchmark"] = descriptions["benchmark"].replace({"B0": "FooBench"})
    runs["benchmark"] = runs["benchmark"].replace({"B0": "FooBench"})
    descriptions.loc[0, "task"] = "The FooBench corpus on which models reach 63.4 points of accuracy."
    redacted, *_ = prepare_tables(descriptions, runs, models)
    assert "Foo" not in redacted.loc[0, "task"]
    assert "63.4" not in redacted.loc[0, "task"]


def test_examples_take_so_many_models_of_a_benchmark_and_the_same_each_time() -> None:
    tables = prepare_tables(*_tables())
    examples = examples_from_scores(tables, source="made up", per_benchmark=3)
    assert examples.groupby("benchmark").size().eq(3).all()
    pd.testing.assert_frame_equal(examples, examples_from_scores(tables, source="made up", per_benchmark=3))
    assert examples.groupby("leak_group")["split"].nunique().max() == 1


def test_a_benchmark_of_old_texts_is_one_to_learn_from() -> None:
    """Poems and tales of MTEB carry the year of their texts, which stopped its evaluation."""
    described, runs, models = _tables(n_benchmarks=6)
    described.loc[0, "published_at"] = pd.Timestamp("1900-12-31", tz="UTC")
    examples = examples_from_scores(prepare_tables(described, runs, models), source="made up")
    asked = FAMILY.predictor()._validate(FAMILY.inputs(examples))
    assert asked["published_year"].min() == pytest.approx(1900.92, abs=0.01)


def test_known_scores_are_of_the_cheapest_models_and_never_asked_for() -> None:
    examples = examples_from_scores(prepare_tables(*_tables()), source="made up")
    told = with_known_scores(examples, examples["model"].unique().tolist(), n_known=2)
    assert all(models == ["M0", "M1"] for models in told["known_models"])
    assert not told["model"].isin(["M0", "M1"]).any()
    assert with_known_scores(examples, ["M0"], n_known=2).empty


@pytest.mark.parametrize("one_unknown", [False, True])
def test_a_floor_is_filled_where_the_noise_of_every_score_is_known(one_unknown: bool) -> None:
    examples = examples_from_scores(prepare_tables(*_tables()), source="made up").drop(columns="split")
    if one_unknown:
        examples.loc[0, ["standard_error", "has_noise"]] = [np.nan, "unknown"]
    quantiles = pd.DataFrame({0.5: 50.0}, index=examples["cell_id"])
    table = evaluate(examples, quantiles, predictor="p", family="f", dataset="d", split="s", metrics=("mae",),
                     segments=("has_noise",))  # fmt: skip
    filled = add_noise_floors(table, examples, ("has_noise",)).set_index("segment")["noise_floor"]
    # The mean absolute value of normal noise of standard error 1.
    assert filled["has_noise=known"] == pytest.approx(np.sqrt(2 / np.pi))
    assert np.isnan(filled["all"]) == one_unknown


def test_a_segment_of_repeated_cells_keeps_its_own_floor() -> None:
    examples = examples_from_scores(prepare_tables(*_tables()), source="made up").drop(columns="split")
    again = examples.head(10).assign(replicate=1, value=lambda rows: rows["value"] + 1.0)
    both = pd.concat([examples.assign(replicate=0), again], ignore_index=True)
    quantiles = pd.DataFrame({0.5: 50.0}, index=examples["cell_id"])
    table = evaluate(both, quantiles, predictor="p", family="f", dataset="d", split="s", metrics=("mae",))
    before, filled = (t.set_index("segment") for t in (table, add_noise_floors(table, both)))
    assert filled.loc["all", "floor_source"] == "model"
    pd.testing.assert_series_equal(filled.loc["all,replicated"], before.loc["all,replicated"])


def test_the_future_is_whole_leak_groups_and_the_past_ends_before_it() -> None:
    examples = examples_from_scores(prepare_tables(*_tables(n_benchmarks=40)), source="made up")
    past, future = time_forward(examples)
    assert not (past & future).any()
    assert examples.loc[past, "published_at"].max() < examples.loc[future, "published_at"].min()
    assert set(examples.loc[past, "leak_group"]).isdisjoint(examples.loc[future, "leak_group"])
    cut = examples.loc[future, "published_at"].min()
    assert (examples.loc[past, "release_year"] < cut.year + 1).all()
    assert 0.2 < examples.loc[future, "leak_group"].nunique() / examples["leak_group"].nunique() < 0.4


def test_without_dates_there_is_no_future() -> None:
    examples = examples_from_scores(prepare_tables(*_tables()), source="made up")
    examples.loc[0, "published_at"] = pd.NaT
    assert not any(mask.any() for mask in time_forward(examples))


@pytest.mark.slow
def test_evaluation_covers_every_split_and_is_reproducible() -> None:
    tables = prepare_tables(*_tables(n_benchmarks=40))
    examples = examples_from_scores(tables, source="made up")
    nowhere = Sources(Path(), Path(), None, Path())
    first, second = (
        judge_splits(FAMILY, score_splits(FAMILY, examples, "made up", nowhere), dataset="made up") for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, second)
    strict = "new_benchmark"
    assert set(first["split"]) == {strict, f"{strict}_k5", "later"}
    assert {"narrowest_20=yes", "one_model=M0", "answer_format=class"} <= set(first["segment"])
    mae = first[(first["metric"] == "mae") & (first["segment"] == "all")].set_index(["split", "predictor"])["value"]
    assert mae[f"{strict}_k5", "benchmark_scores"] < mae[strict, "benchmark_scores"] < mae[strict, "global"]


def test_an_unknown_set_or_a_missing_snapshot_is_named(tmp_path: Path) -> None:
    sources = Sources(tmp_path, tmp_path, str(tmp_path / "mirror"), tmp_path)
    with pytest.raises(InvalidInputError, match="must be one of"):
        load_score_tables("squad", sources)
    with pytest.raises(DatasetError, match="no prepared tables"):
        load_score_tables("mteb", sources)
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(DatasetError, match="mteb_scores"):
        load_score_tables("mteb", sources)


@pytest.mark.mirror
@pytest.mark.slow
def test_the_snapshot_is_read_redacted_and_split_without_leaks(sources: Sources) -> None:
    descriptions, runs, _ = load_mteb_snapshot(sources.snapshots / "mteb")
    assert (len(descriptions), len(runs)) == (858, 71239)
    assert descriptions["leak_group"].nunique() > 250
    described, *_ = load_score_tables("llm-harness", sources)
    assert described["leak_group"].nunique() == 39
