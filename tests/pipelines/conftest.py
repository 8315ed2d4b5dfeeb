"""One installation that has run the demo's jobs once, shared by the tests that only look at it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from foretell.pipelines.home import open_home
from foretell.pipelines.runs import curate_days, open_instance, retrain
from foretell.pipelines.settings import Settings, quiet_environment


@dataclass(frozen=True)
class Installation:
    """A home folder and what the run said about itself."""

    settings: Settings
    steps: tuple[str, ...]


def run_all(settings: Settings) -> tuple[str, ...]:
    """What `foretell demo` runs, without its printing; the steps that ran."""
    from foretell.assets.lake.landing.deliveries import ingest

    steps: list[str] = []
    ingest([settings.starter_traces], settings.landing, source="starter")
    with open_instance(settings) as instance:
        curate_days(settings, instance, lambda step, seconds, share: steps.append(step))
        retrain(settings, instance, lambda step, seconds, share: steps.append(step))
    return tuple(steps)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation on which every asset was materialised in this process."""
    home = tmp_path_factory.mktemp("installed")
    os.environ["FORETELL_HOME"] = str(home)
    settings = Settings(home=home)
    quiet_environment(settings)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    return Installation(settings, run_all(settings))


@pytest.fixture
def copied(installed: Installation, tmp_path: Path) -> Settings:
    """A copy of the installation that a test may change."""
    shutil.copytree(installed.settings.home, tmp_path / "home")
    settings = Settings(home=tmp_path / "home")
    open_home(settings)  # its artefacts are its own from here on
    return settings
