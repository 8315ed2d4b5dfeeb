"""One function loads a version in any thread: of today, of before, with changed code."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.model_watch import load_version
from foretell.predictors.base import load_predictor
from foretell.predictors.errors import OtherCodeError
from tests.assets.registry.versions import FAMILIES_BEFORE, first_median, thousandfold, versions_before


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Versions of before, each with its own code and with changed code."""
    folder = tmp_path_factory.mktemp("before")
    made = versions_before(folder / "made")
    return made | {f"{name}_changed": thousandfold(path, folder / f"{name}_changed") for name, path in made.items()}


@pytest.mark.slow
@pytest.mark.parametrize("old_first", [False, True])
def test_versions_of_before_load_beside_new_ones_in_both_orders(
    versions: dict[str, Path], before: dict[str, Path], tmp_path: Path, old_first: bool
) -> None:
    copies = [{}, {}]
    for copied, originals in zip(copies, (versions, before), strict=True):
        for name, path in originals.items():
            copied[name] = shutil.copytree(path, tmp_path / f"{len(copied)}{name}")
            with next(copied[name].rglob("predictors/serving.py")).open("a") as serving:
                serving.write(f"\nOLD_FIRST = {old_first}  # a code that no other test has loaded\n")
    paths = copies[1] | copies[0] if old_first else copies[0] | copies[1]
    models = {name: load_version(str(path)) for name, path in paths.items()}
    shutil.rmtree(tmp_path)
    answers = {name: first_median(model) for name, model in models.items()}
    for name in ("tokens", "scaling", *FAMILIES_BEFORE):
        assert answers[f"{name}_changed"] == pytest.approx(1_000 * answers[name], rel=1e-12)
    assert answers["downstream_scaling"] == pytest.approx(1.212682076860852)
    assert answers["benchmark_scores"] == pytest.approx(0.6631183596219774)
    assert "predictors" not in sys.modules


@pytest.mark.slow
def test_loads_in_threads_answer_each_with_its_own_numbers(versions: dict[str, Path], before: dict[str, Path]) -> None:
    tokens = {name: versions[name] for name in ("tokens", "tokens_changed")}
    paths = tokens | {name: before[name] for name in ("benchmark_scores", "benchmark_scores_changed")}
    expected = {name: first_median(load_version(str(path))) for name, path in paths.items()}
    names = [list(paths)[i % len(paths)] for i in range(12)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: first_median(load_version(str(paths[name]))), names))
    assert answers == [expected[name] for name in names]


@pytest.mark.parametrize("family", FAMILIES_BEFORE)
def test_what_today_cannot_read_is_served_and_said_with_the_remedy(before: dict[str, Path], family: str) -> None:
    # Other experts and other laws: the state of before has no place in the predictor of today.
    assert first_median(load_version(str(before[family]))) > 0
    with pytest.raises(OtherCodeError, match=rf"run `foretell retrain {family}`"):
        load_predictor(before[family] / "artifacts" / "predictor")
