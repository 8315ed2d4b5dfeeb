"""What assets are given: where things lie, and where fits are tracked. Built in `pipelines.definitions`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from assets.engine import open_engine
from assets.policy import Policy, load_policies
from assets.sources import Sources
from assets.tracking import Registry

__all__ = ["Tracking", "Workspace"]


class Workspace(dg.ConfigurableResource):
    """Folders of this installation, and the engine that works on its tables."""

    landing: str
    models: str
    reports: str
    starter: str
    cache: str
    home: str
    mirror: str | None = None
    price_file: str | None = None
    engine: str = "local"
    scheduler: str | None = None
    engine_workers: int = 2
    engine_memory: str = "auto"
    learn_rows: int = 2_000_000

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Workspace"]:
        """Open the engine for the length of a run."""
        with open_engine(
            self.engine, scheduler=self.scheduler, n_workers=self.engine_workers, worker_memory=self.engine_memory
        ):
            yield self

    @property
    def sources(self) -> Sources:
        """Where the families read their data sets from."""
        return Sources(Path(self.starter), Path(self.cache), self.mirror, Path(self.home), self.price_path)

    @property
    def landing_path(self) -> Path:
        return Path(self.landing)

    @property
    def models_path(self) -> Path:
        return Path(self.models)

    @property
    def reports_path(self) -> Path:
        return Path(self.reports)

    @property
    def locks_path(self) -> Path:
        return Path(self.home) / "locks"

    @property
    def price_path(self) -> Path | None:
        return None if self.price_file is None else Path(self.price_file)


class Tracking(dg.ConfigurableResource):
    """The MLflow store that runs and versions go to."""

    uri: str
    artifact_root: str | None = None
    policy_file: str
    server: str | None = None
    """Address of MLflow's pages, for links."""

    def policy(self, family: str) -> Policy:
        return load_policies(Path(self.policy_file)).get(family, Policy())

    def registry(self) -> Registry:
        return Registry(self.uri, None if self.artifact_root is None else Path(self.artifact_root))
