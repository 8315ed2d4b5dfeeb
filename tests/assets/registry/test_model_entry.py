"""Versions keep to themselves: each runs the code that it carries, whatever else its process has loaded."""

from __future__ import annotations

import shutil
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path
from types import ModuleType

import mlflow
import pandas as pd
import pytest
from mlflow.pyfunc.model import PythonModelContext

from foretell.assets.registry.model_entry import RegisteredForecaster, importable
from tests.assets.registry.versions import first_median, thousandfold


@pytest.fixture
def package(tmp_path: Path) -> ModuleType:
    """A package of two modules and a data file, whose folder is gone."""
    room = tmp_path / "code" / "room"
    (room / "presets").mkdir(parents=True)
    (room / "__init__.py").touch()
    (room.parent / "__init__.py").touch()
    (room / "numbers.py").write_text("from . import later\n\ndef fail():\n    return 1 / 0  # the line\n", "utf-8")
    (room / "later.py").write_text(
        "from importlib.resources import files\n\n"
        'def preset():\n    return (files(__package__) / "presets" / "one.yaml").read_text("utf-8")\n',
        "utf-8",
    )
    (room / "presets" / "one.yaml").write_text("a: 1\n", "utf-8")
    name = importable(tmp_path / "code")
    shutil.rmtree(tmp_path / "code")
    return sys.modules[name]


def test_modules_and_data_are_read_after_the_folder_is_gone(package: ModuleType) -> None:
    assert import_module(f"{package.__name__}.room.numbers").later.preset() == "a: 1\n"
    with as_file(files(f"{package.__name__}.room") / "presets" / "one.yaml") as path:
        assert path.read_text("utf-8") == "a: 1\n"
    with pytest.raises(ModuleNotFoundError, match=r"room\.absent"):
        import_module(f"{package.__name__}.room.absent")


def test_traceback_shows_lines_of_code_that_is_only_in_memory(package: ModuleType) -> None:
    numbers = import_module(f"{package.__name__}.room.numbers")
    with pytest.raises(ZeroDivisionError) as caught:
        numbers.fail()
    assert "return 1 / 0  # the line" in "".join(traceback.format_exception(caught.value))


def test_equal_code_is_one_package_and_byte_code_does_not_count(tmp_path: Path) -> None:
    for name, content in (("a", b"x = 1\n"), ("b", b"x = 1\n"), ("c", b"x = 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_bytes(content)
    (tmp_path / "b" / "__init__.cpython-311.pyc").write_bytes(b"whatever")
    a, b, c = (importable(tmp_path / name) for name in "abc")
    assert a == b != c
    assert [sys.modules[name].x for name in (a, c)] == [1, 2]
    assert len([finder for finder in sys.meta_path if getattr(finder, "name", None) == a]) == 1


@pytest.mark.parametrize("changed_first", [False, True])
def test_changed_code_answers_for_its_own_version_alone(
    versions: dict[str, Path], tmp_path: Path, changed_first: bool
) -> None:
    # A code that no test has loaded before, so that the order is the one under test.
    both = [versions["tokens"], versions["tokens_changed"]]
    pair = [shutil.copytree(path, tmp_path / path.name) for path in both]
    for path in pair:
        with next(path.rglob("predictors/serving.py")).open("a") as serving:
            serving.write(f"\nCHANGED_FIRST = {changed_first}\n")
    models = [mlflow.pyfunc.load_model(str(path)) for path in (pair[::-1] if changed_first else pair)]
    plain, changed = (first_median(model) for model in (models[::-1] if changed_first else models))
    assert changed == pytest.approx(1_000 * plain, rel=1e-12)
    assert plain > 0


def test_families_load_together_and_answer_after_their_folders_are_gone(
    versions: dict[str, Path], tmp_path: Path
) -> None:
    expected = {name: first_median(mlflow.pyfunc.load_model(str(path))) for name, path in versions.items()}
    copies = {name: shutil.copytree(path, tmp_path / name) for name, path in versions.items()}
    for copy in copies.values():
        with next(copy.rglob("predictors/serving.py")).open("a") as serving:
            serving.write("\nIMPORTED_BY_NO_OTHER_TEST = True\n")
    models = {name: mlflow.pyfunc.load_model(str(path)) for name, path in copies.items()}
    for path in copies.values():
        shutil.rmtree(path)
    assert {name: first_median(model) for name, model in models.items()} == expected


def test_a_foreign_package_of_an_equal_name_does_not_matter(
    versions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "predictors").mkdir()
    (tmp_path / "predictors" / "__init__.py").write_text("raise AssertionError('imported')\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert first_median(mlflow.pyfunc.load_model(str(thousandfold(versions["tokens"], tmp_path / "version")))) > 0
    assert "predictors" not in sys.modules


def test_an_object_that_two_loads_share_keeps_them_apart(versions: dict[str, Path]) -> None:
    # What MLflow does when two threads load at once: both get the object that was set last.
    contexts = {name: PythonModelContext(_artifacts(path), {}) for name, path in versions.items()}
    shared = RegisteredForecaster()
    for context in contexts.values():
        shared.load_context(context)
    for name, path in versions.items():
        model = mlflow.pyfunc.load_model(str(path))
        pd.testing.assert_frame_equal(
            shared.predict(contexts[name], model.input_example), model.predict(model.input_example)
        )


def _artifacts(version: Path) -> dict[str, str]:
    return {name: str(version / "artifacts" / name) for name in ("predictor", "code")}


@pytest.mark.slow
def test_forty_loads_in_threads_answer_each_with_its_own_numbers(
    versions: dict[str, Path], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow puts a stand-in for this module there during a load and deletes it, which threads do to each other.
    monkeypatch.setitem(sys.modules, "dbutils", ModuleType("dbutils"))
    expected = {name: first_median(mlflow.pyfunc.load_model(str(path))) for name, path in versions.items()}
    names = [list(versions)[i % len(versions)] for i in range(40)]
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-5)  # threads take turns within the few lines in which MLflow hands a model over
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda name: first_median(mlflow.pyfunc.load_model(str(versions[name]))), names))
    assert answers == [expected[name] for name in names]
