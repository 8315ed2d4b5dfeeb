"""Models and an empty registry for the nights of `tests.assets.nightly.nights`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.families.thinking_tokens.family import FAMILY as THINKING_TOKENS
from foretell.assets.registry.tracking import Registry
from foretell.predictors.base import BasePredictor
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline
from tests.assets.nightly.nights import FIRST_DAY, world


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    return world(20)


@pytest.fixture(scope="module")
def models(examples: pd.DataFrame) -> dict[str, BasePredictor]:
    """A weak model that knows nothing of the request, and a good one; both fitted on the first nights."""
    learn = examples[(examples["split"] != "test") & (examples["started_at"] < FIRST_DAY + pd.Timedelta(days=8))]
    fitted = {"weak": GlobalBaseline(), "good": ModelBaseline(), "again": GlobalBaseline(random_state=1)}
    for model in fitted.values():
        model.fit(THINKING_TOKENS.inputs(learn), learn["value"], groups=learn["query_id"])
    return fitted


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: making its tables takes seconds, so once."""
    folder = tmp_path_factory.mktemp("store")
    Registry(f"sqlite:///{folder / 'mlflow.db'}").client().search_registered_models()
    return folder / "mlflow.db"


@pytest.fixture
def registry(migrated: Path, tmp_path: Path) -> Registry:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
