"""The example of a service that follows the alias: no request fails while the champion changes."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import threading
from pathlib import Path
from types import ModuleType

import mlflow
import pandas as pd
import pytest

from foretell.assets.registry.tracking import CHAMPION, Registry
from tests.assets.registry.versions import thousandfold
from tests.conftest import ROOT

FAMILY = "thinking_tokens"
QUESTION = pd.DataFrame({"model": ["SmolLM2-135M-Instruct"], "prompt_text": ["What is 2 + 2?"]})


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = ROOT / "examples" / "model_watch.py"
    spec = importlib.util.spec_from_file_location("model_watch", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_watch"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry(copied, tmp_path: Path) -> Registry:
    """A registry to change, with a third version: the second one with code that answers 1,000 times as much."""
    store = Registry(copied.mlflow_uri, copied.home / "mlflow" / "artifacts")
    client = store.client()  # MLflow downloads from the store that was opened last
    first = store.version(FAMILY, "2")
    folder = thousandfold(Path(mlflow.artifacts.download_artifacts(first.source)), tmp_path / "second")
    client.create_model_version(FAMILY, source=folder.as_uri(), run_id=first.run_id)
    return store


@pytest.mark.slow
def test_alias_moves_while_requests_run_and_none_fails(example: ModuleType, registry: Registry) -> None:
    watch = example.ModelWatch(FAMILY, tracking_uri=registry.uri, every_s=0.05).start()
    failures: list[BaseException] = []
    medians: set[float] = set()
    first = watch.predict(QUESTION)["median"].item()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                medians.add(watch.predict(QUESTION)["median"].item())
            except BaseException as error:  # noqa: BLE001  a failed request is what the test looks for
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in ("3", "2", "3"):
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
    assert sorted(medians) == [first, pytest.approx(1_000 * first, rel=1e-12)]


def test_version_that_cannot_be_loaded_and_registry_that_is_down_leave_the_old_one(
    example: ModuleType, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = example.ModelWatch(FAMILY, tracking_uri=registry.uri)
    broken = registry.client().create_model_version(FAMILY, source=(tmp_path / "nowhere").as_uri())
    registry.point(FAMILY, CHAMPION, str(broken.version))
    assert watch.refresh() is False
    assert watch.version == "2"
    assert len(watch.predict(QUESTION)) == 1
    shutil.move(registry.uri.removeprefix("sqlite:///"), tmp_path / "away.db")
    monkeypatch.setattr(watch._client, "get_model_version_by_alias", _down)
    assert watch.refresh() is False
    assert len(watch.predict(QUESTION)) == 1


def _down(*arguments: object) -> None:
    raise ConnectionError("the registry is down")
