"""What assets are given: the folders of this installation and its engine. Built in `foretell.pipelines.definitions`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from foretell.assets.engine import open_engine
from foretell.assets.store.sources import Sources


def set_by_settings(resource: dg.ConfigurableResource | dg.ConfigurableIOManager) -> dg.ResourceDefinition:
    """Take what is configured here out of the hands of whoever launches a run.

    The configuration of a run may come from a form in a page. Were the folder of tables or the address of a scheduler
    part of it, a run could be made to write anywhere and to unpickle what a stranger sends.
    """
    values = resource.model_dump(exclude_none=True)
    definition: dg.ResourceDefinition = resource.get_resource_definition().configured(
        lambda _: values, config_schema={}
    )
    return definition


class Workspace(dg.ConfigurableResource):
    """Folders of this installation, and the engine that works on its tables."""

    starter: str
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
    def root(self) -> Path:
        """The home, in which every folder lies."""
        return Path(self.home)

    @property
    def sources(self) -> Sources:
        """Where the families read their data sets from."""
        return Sources(Path(self.starter), self.root / "cache", self.mirror, self.root, self.price_path)

    @property
    def price_path(self) -> Path | None:
        return None if self.price_file is None else Path(self.price_file)
