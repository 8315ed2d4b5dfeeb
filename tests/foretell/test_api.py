"""What `import foretell` offers does what the command line does, and costs nothing until it is used."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import foretell
from foretell import api
from foretell.pipelines.settings import Settings
from foretell.predictors import metrics
from foretell.predictors.base import BasePredictor
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.pfn import PriorFittedNetwork
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.conftest import ROOT
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

FUNCTIONS = [name for name in foretell.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small predictor of thinking tokens."""
    runs = make_runs(80, seed=1, n_replicates=2)
    predictor = ThinkingTokensPredictor(n_estimators=20, refit=False)
    predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])
    return predictor.save(tmp_path_factory.mktemp("saved") / "tokens")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, foretell; print(sorted({'numpy', 'pandas', 'pydantic', 'dagster', 'mlflow'} & set(sys.modules)))"
    )
    assert python(code) == "[]"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_documented_with_an_example_that_holds(name: str) -> None:
    function = getattr(foretell, name)
    assert function is getattr(api, name)
    text = inspect.getdoc(function)
    assert {"Parameters", "Returns", "Raises", "Examples"} <= set(text.splitlines())
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_unknown_names_are_refused_and_known_ones_listed() -> None:
    with pytest.raises(AttributeError, match="forecast"):
        _ = foretell.forecast
    assert set(foretell.__all__) <= set(dir(foretell))


def test_signatures_name_types_as_they_are_written() -> None:
    """What `help` and the site show: `Floats`, not what it stands for."""
    documented = [BasePredictor.fit, *(getattr(metrics, name) for name in metrics.__all__)]
    kinds = (it for it in documented if inspect.isfunction(it) or inspect.isclass(it))
    assert [str(it) for it in kinds if "numpy." in str(inspect.signature(it))] == []


@pytest.mark.parametrize("room", ["assets", "pipelines", "predictors"])
def test_rooms_have_one_name(room: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {room}"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (f"ImportError: `{room}` has one name, `foretell.{room}`: import it as that")


def test_traces_are_read_whole_and_their_floor_is_that_of_the_command_line(starter_traces: Path) -> None:
    from foretell.assets.families import get_family
    from foretell.assets.judging.floors import floor_table

    chosen = get_family("thinking_tokens")
    read = foretell.read_traces(starter_traces)
    assert (len(read.traces), read.n_read) == (1584, 1584)
    table = floor_table(chosen, chosen.examples("starter", Settings().sources), dataset="starter")
    expected = table[table["segment"] == "all"].set_index("metric")
    floors = foretell.floor(read.traces)
    columns = ["noise_floor", "floor_ci_lower", "floor_ci_upper", "floor_source", "n_queries", "n_replicates"]
    pd.testing.assert_frame_equal(floors[columns], expected.loc[floors.index, columns], check_dtype=False)


def test_floor_of_single_runs_is_unknown_and_says_why() -> None:
    floors = foretell.floor(pd.DataFrame({"query_id": ["a", "b"], "value": [1.0, 2.0]}))
    assert floors["noise_floor"].isna().all()
    assert set(floors["floor_source"]) == {"none: one run per query"}


def test_floor_of_scores_is_on_their_own_scale() -> None:
    runs = pd.DataFrame({"query_id": list("aabb"), "value": [0.0, 1.0, 1.0, 1.0]})
    assert foretell.floor(runs, scale="identity").loc["mse", "noise_floor"] == pytest.approx(0.25)


def test_floor_names_the_missing_column() -> None:
    with pytest.raises(InvalidInputError, match="no column value"):
        foretell.floor(pd.DataFrame({"query_id": ["a"]}))


def test_saved_predictor_is_loaded_and_asked(saved: Path) -> None:
    predictor = foretell.load(source=saved)
    X = pd.DataFrame({"model": ["small", "large"], "prompt_text": ["count apple", "count apple"]})
    assert predictor.predict(X).is_monotonic_increasing


def test_load_refuses_another_family_and_folders_without_predictor(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds a predictor of thinking_tokens, not of learning_curves"):
        foretell.load("learning_curves", saved)
    with pytest.raises(InvalidInputError, match="`family` must be one of thinking_tokens"):
        foretell.load("tokens", saved)
    with pytest.raises(DatasetError, match="no predictor here"):
        foretell.load(source=tmp_path)


def test_prompts_files_and_frames_are_quoted_alike(saved: Path, tmp_path: Path) -> None:
    predictor = foretell.load(source=saved)
    prompts = ["count apple river", "prove seven prove table"]
    frame = pd.DataFrame({"Prompt": prompts})
    frame.to_json(file := tmp_path / "requests.jsonl", orient="records", lines=True)
    quotes = [foretell.quote(form, ["small", "large"], predictor=predictor) for form in (prompts, frame, file)]
    for quoted in quotes:
        assert quoted.totals["tokens_median"].tolist() == quotes[0].totals["tokens_median"].tolist()
    single = foretell.quote(prompts, "small", predictor=predictor).totals
    assert single["model"].tolist() == ["small"]


def test_known_runs_of_a_query_draw_its_quote_towards_them(saved: Path) -> None:
    predictor = foretell.load(source=saved)
    prompts = ["count apple river", "prove seven prove table"]
    runs = pd.DataFrame({"model": "small", "prompt_text": prompts, "output_tokens": [20_000.0, np.nan]})

    def medians(runs: pd.DataFrame | None) -> list[float]:
        return foretell.quote(prompts, "small", runs=runs, predictor=predictor).requests["median"].tolist()

    cold, informed = medians(None), medians(runs)
    assert informed[0] > 2 * cold[0]
    # The level of the work is learnt from the run too, so the other request moves with it.
    assert informed[1] > 2 * cold[1]
    with pytest.raises(InvalidInputError, match=r"`runs` must have the columns .*\['output_tokens'\]"):
        medians(runs.drop(columns="output_tokens"))


def test_only_a_predictor_that_knows_batches_quotes() -> None:
    with pytest.raises(DatasetError, match="a BenchmarkScorePredictor cannot quote"):
        foretell.quote(["count"], "small", predictor=BenchmarkScorePredictor())


def test_extrapolation_is_that_of_the_network() -> None:
    steps, values = [16.0, 32, 64, 128], [0.4, 0.5, 0.57, 0.6]
    forecasts = foretell.extrapolate(steps, values, [256, 1024], metric="accuracy")
    curves = pd.DataFrame({"steps": [steps] * 2, "values": [values] * 2, "target_step": [256.0, 1024.0]})
    mixture = PriorFittedNetwork.load_pretrained().forecast(read_curves(curves))
    np.testing.assert_allclose(
        forecasts[["lower_90", "median", "upper_90"]], mixture.quantiles(np.array([0.05, 0.5, 0.95]))
    )
    assert forecasts.index.tolist() == [256, 1024]
    numbers = forecasts.select_dtypes("number")
    again = foretell.extrapolate(steps, values, 256)[numbers.columns]
    assert again.iloc[0].tolist() == pytest.approx(numbers.loc[256].tolist(), rel=1e-6)


def test_extrapolation_names_what_it_does_not_know() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown: direction; a curve may have .*higher_is_better"):
        foretell.extrapolate([1, 2], [0.1, 0.2], 4, direction="up")


def test_evaluation_of_an_unknown_data_set_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown data set 'nothing'; .*olmo-ladder"):
        foretell.evaluate("downstream_scaling", "nothing")


@pytest.mark.slow
def test_evaluation_is_the_table_of_the_family() -> None:
    table = foretell.evaluate("thinking_tokens", "starter")
    assert {"value", "noise_floor", "excess_error", "skill"} <= set(table.columns)
    assert table["family"].unique().tolist() == ["thinking_tokens"]
