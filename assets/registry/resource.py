"""The MLflow store as a resource of Dagster. Built in `foretell.pipelines.definitions`."""

from pathlib import Path

import dagster as dg

from foretell.assets.registry.policy import Policy, load_policies
from foretell.assets.registry.tracking import Registry


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
