"""The example of a service that follows the alias: no request fails while the champion changes."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import threading
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from assets.tracking import CHAMPION, Registry

FAMILY = "thinking_tokens"
QUESTION = pd.DataFrame({"model": ["SmolLM2-135M-Instruct"], "prompt_text": ["What is 2 + 2?"]})


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "model_watch.py"
    spec = importlib.util.spec_from_file_location("model_watch", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_watch"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry(installed, copied) -> Registry:
    """A registry of its own with a second version: the same artefacts under another number."""
    store = Registry(copied.mlflow_uri, copied.home / "mlflow" / "artifacts")
    first = store.version(FAMILY, "1")
    store.client().create_model_version(FAMILY, source=first.source, run_id=first.run_id)
    return store


def test_alias_moves_while_requests_run_and_none_fails(example: ModuleType, registry: Registry) -> None:
    watch = example.ModelWatch(FAMILY, tracking_uri=registry.uri, every_s=0.05).start()
    failures: list[BaseException] = []
    versions: set[str] = set()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                assert len(watch.predict(QUESTION)) == 1
                versions.add(watch.version)
            except BaseException as error:  # noqa: BLE001  a failed request is what the test looks for
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in ("2", "1", "2"):
        registry.point(FAMILY, CHAMPION, number)
        waited = threading.Event()
        for _ in range(600):
            if watch.version == number:
                break
            waited.wait(0.05)
        assert watch.version == number
        waited.wait(0.2)
    ended.set()
    for thread in threads:
        thread.join()
    watch.stop()
    assert failures == []
    assert versions == {"1", "2"}


def test_version_that_cannot_be_loaded_and_registry_that_is_down_leave_the_old_one(
    example: ModuleType, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = example.ModelWatch(FAMILY, tracking_uri=registry.uri)
    broken = registry.client().create_model_version(FAMILY, source=(tmp_path / "nowhere").as_uri())
    registry.point(FAMILY, CHAMPION, str(broken.version))
    assert watch.refresh() is False
    assert watch.version == "1"
    assert len(watch.predict(QUESTION)) == 1
    shutil.move(registry.uri.removeprefix("sqlite:///"), tmp_path / "away.db")
    monkeypatch.setattr(watch._client, "get_model_version_by_alias", _down)
    assert watch.refresh() is False
    assert len(watch.predict(QUESTION)) == 1


def _down(*arguments: object) -> None:
    raise ConnectionError("the registry is down")
