"""Where this machine keeps things. The only module that reads the environment.

Every setting is an environment variable with the prefix ``FORETELL_``; all have defaults that work in
a fresh clone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from assets.engine import Engine
    from assets.sources import Sources

__all__ = ["PROJECT_ROOT", "Settings", "prepare_dagster_home", "quiet_environment"]

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:  # no sign-up window before the first page
  enabled: false
run_monitoring:  # a run whose process was killed is marked as failed, and frees its place
  enabled: true
  poll_interval_seconds: 60
run_retries:  # ... and is started again; a fault of the data is not
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - key: foretell/retrain
        limit: 1
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days: {skipped: 7, failure: 30, success: 90}
freshness:
  enabled: true
"""


class Settings(BaseSettings):
    """Paths and addresses of one installation."""

    model_config = SettingsConfigDict(env_prefix="FORETELL_", env_ignore_empty=True, extra="ignore")

    home: Path = Path(".foretell")
    """State: landed files, tables, models, the MLflow and Dagster databases. Relative to the project."""

    mirror: str | None = None
    """A directory or URL that serves public data sets as ``<mirror>/<host>/<path>``."""

    price_file: Path | None = None
    """Your own prices (YAML); they win over the dated public ones."""

    window_days: int = Field(default=180, ge=1)
    """How many days of traces training, judging and data docs read; the rest stays in the lake."""

    retrain_rows: int = Field(default=5_000, ge=1)
    """New rows after which a retrain is asked for before the night."""

    tracking_uri: str | None = None
    """An MLflow tracking server. Default: sqlite under `home`."""

    keep_runs: int = Field(default=400, ge=1)
    """Finished Dagster runs that `housekeeping` keeps, about half a megabyte each."""

    mlflow_pages: str | None = None
    """Address of MLflow's pages as people see it, for links in Dagster; `foretell ui` sets its own."""

    policy_file: Path = PROJECT_ROOT / "mlflow" / "registry.yaml"
    """When a version becomes champion."""

    engine: Literal["local", "dask"] = "local"
    """Where tables are worked on: in the run itself, or on a Dask cluster (docs/scaling.md)."""

    scheduler: str | None = Field(default=None, validation_alias="DASK_SCHEDULER_ADDRESS")
    """Address of a Dask scheduler. Default: a cluster on this machine, started and stopped by the run."""

    engine_workers: int = Field(default=2, ge=1)
    """Processes of that cluster, one thread each."""

    engine_memory: str = "auto"
    """What each of them may hold, such as ``4GB``."""

    learn_rows: int = Field(default=2_000_000, ge=1000)
    """Of more runs than this a family learns from a sample of the queries, drawn by their hash."""

    starter: Path = PROJECT_ROOT / "data" / "starter"
    """The bundled data."""

    @field_validator("home", "starter", "price_file", "policy_file")
    @classmethod
    def absolute(cls, path: Path | None) -> Path | None:
        return path if path is None else (PROJECT_ROOT / path.expanduser()).resolve()

    @field_validator("engine_memory")
    @classmethod
    def a_size(cls, memory: str) -> str:
        if not re.fullmatch(r"auto|\d+(\.\d+)?([kMGT]i?)?B", memory):
            raise ValueError("give a size such as 4GB, or auto")
        return memory

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def starter_traces(self) -> Path:
        return self.starter / "local_llm_traces.jsonl.gz"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def sources(self) -> Sources:
        """Where the families read their data sets from."""
        from assets.sources import Sources

        return Sources(self.starter, self.cache, self.mirror, self.home, self.price_file)

    def open_engine(self) -> AbstractContextManager[Engine]:
        """The engine that `engine` names, for a ``with`` block."""
        from assets.engine import open_engine

        return open_engine(
            self.engine, scheduler=self.scheduler, n_workers=self.engine_workers, worker_memory=self.engine_memory
        )

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def mlflow_uri(self) -> str:
        """The tracking URI; MLflow's own default depends on the working directory, so it is always set."""
        return self.tracking_uri or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"


def quiet_environment(settings: Settings) -> None:
    """Switch the telemetry of our dependencies off and point Dagster at this installation.

    Called once by every entry point, before the libraries are imported. A user's own values win.
    """
    for name, value in {
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "DAGSTER_HOME": str(settings.dagster_home),
        # Two busy threads on two busy cores are slower than one in several of our libraries.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }.items():
        os.environ.setdefault(name, value)


def prepare_dagster_home(settings: Settings) -> None:
    """Create Dagster's folder, with telemetry off."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    config = settings.dagster_home / "dagster.yaml"
    if not config.exists():
        config.write_text(DAGSTER_YAML, "utf-8")
