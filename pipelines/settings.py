"""Where this machine keeps things. The only module that reads the environment.

Every setting is an environment variable with the prefix ``FORETELL_``, else a line of ``foretell.toml`` in the working
folder, else one of that in the home; all have defaults that work in a fresh clone. `foretell config` shows them.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, SettingsConfigDict

from foretell.pipelines.settings_file import ENVIRONMENT, FileSource, origin
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource

    from foretell.assets.engine import Engine
    from foretell.assets.registry.tracking import Registry
    from foretell.assets.store.sources import Sources

PACKAGE = Path(str(files("foretell")))
CHECKOUT: Path | None = PACKAGE.parent if (PACKAGE.parent / "dvc.yaml").is_file() else None
"""The repository that this code runs from; None where it was installed from a wheel."""


class Settings(BaseSettings):
    """Paths and addresses of one installation."""

    model_config = SettingsConfigDict(
        env_prefix="FORETELL_",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    home: Path = Path(".foretell")
    """State: landed files, tables, models, the MLflow and Dagster databases. Relative to the working folder."""

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

    ui_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names under which the pages may be asked for besides loopback, separated by commas: those of a proxy in front."""

    policy_file: Path = PACKAGE / "config" / "registry.yaml"
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

    starter: Path = PACKAGE / "starter"
    """The bundled data."""

    serve_token: SecretStr | None = Field(default=None, min_length=16)
    """What callers of `foretell serve` send as ``Authorization: Bearer ...``; without it loopback alone is served."""

    daily_budget_usd: float | None = Field(default=None, ge=0)
    """What a UTC day may cost through the LiteLLM proxy (docs/gateway.md)."""

    alert_url: SecretStr | None = None
    """Webhook that is told of failed runs and checks, drift, promotions and spend (docs/operations.md)."""

    alert_format: Literal["json", "slack"] = "json"
    """Shape of what it is told."""

    daily_spend_usd: float | None = Field(default=None, ge=0)
    """Spend of a UTC day in the lake beyond which the webhook is told."""

    downgrade: Annotated[dict[str, str], NoDecode] = {}
    """Where a call goes that would not fit the budget: ``gpt-5=gpt-5-mini,...``, in a file a table."""

    spool_prompts: bool = True
    """Whether the LiteLLM proxy writes prompts and answers beside the counts."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given, environment = named["init_settings"], named["env_settings"]
        assert isinstance(given, InitSettingsSource)
        return given, environment, FileSource(settings_cls, given.init_kwargs)

    @field_validator("home", "starter", "price_file", "policy_file")
    @classmethod
    def absolute(cls, path: Path | None) -> Path | None:
        return path if path is None else path.expanduser().resolve()

    @field_validator("ui_hosts", mode="before")
    @classmethod
    def names_of_hosts(cls, names: str | tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
        if not all(re.fullmatch(r"(\*\.)?[\w.-]+|\[[\da-fA-F:.]+\]", str(host)) for host in hosts):
            raise ValueError("give names without scheme and port, such as foretell.example.com,*.internal.example.com")
        return hosts

    @field_validator("downgrade", mode="before")
    @classmethod
    def pairs_of_models(cls, pairs: str | dict[str, str]) -> dict[str, str]:
        if not isinstance(pairs, str):
            return pairs
        parts = [[name.strip() for name in pair.split("=", 1)] for pair in pairs.split(",") if pair]
        if any(len(part) != 2 for part in parts):
            raise ValueError("give pairs such as gpt-5=gpt-5-mini,claude-opus-4-5=claude-haiku-4-5")
        return dict(parts)

    @field_validator("home")
    @classmethod
    def a_place_for_databases(cls, home: Path) -> Path:
        # Dagster and MLflow write the place into the address of a database, where these mean something else.
        if any(mark in str(home) for mark in "%?") or not str(home).isprintable():
            raise ValueError(
                "the databases cannot lie below a folder with %, ?, a line break or bytes that are no UTF-8"
            )
        return home

    @field_validator("alert_url")
    @classmethod
    def an_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[^\s/]+\S*", url.get_secret_value()):
            raise ValueError("give an address that begins with https:// or http://")
        return url

    @field_validator("engine_memory")
    @classmethod
    def a_size(cls, memory: str) -> str:
        if not re.fullmatch(r"auto|\d+(\.\d+)?([kMGT]i?)?B", memory):
            raise ValueError("give a size such as 4GB, or auto")
        return memory

    @staticmethod
    def api_key(variable: str | None, address: str) -> str | None:
        """The key of a provider, in the environment alone; without a variable that of OpenAI, for its own address.

        Raises `InvalidInputError` if the variable is not set.
        """
        if variable is None:
            return os.environ.get("OPENAI_API_KEY") if address.startswith("https://api.openai.com/") else None
        if not os.environ.get(variable):
            raise InvalidInputError(f"{variable} is not set: export the API key under this name")
        return os.environ[variable]

    # Read when the settings are made: opening the registry sets this variable to our store.
    _users_mlflow: str | None = PrivateAttr(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI"))

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
        from foretell.assets.store.sources import Sources

        return Sources(self.starter, self.cache, self.mirror, self.home, self.price_file)

    def open_engine(self) -> AbstractContextManager[Engine]:
        """The engine that `engine` names, for a ``with`` block."""
        from foretell.assets.engine import open_engine

        return open_engine(
            self.engine, scheduler=self.scheduler, n_workers=self.engine_workers, worker_memory=self.engine_memory
        )

    def open_registry(self) -> Registry:
        """The MLflow store of runs and versions."""
        from foretell.assets.registry.tracking import Registry

        return Registry(self.mlflow_uri, self.artifact_root)

    @property
    def artifact_root(self) -> Path | None:
        """Where the files of runs go; None where the tracking server says."""
        return None if self.tracking_uri else self.home / "mlflow" / "artifacts"

    @property
    def runs_uri(self) -> str:
        """Where a user's own training runs are: MLFLOW_TRACKING_URI, as MLflow's own tools have it, else our store."""
        return self._users_mlflow or self.mlflow_uri

    @property
    def has_registry(self) -> bool:
        """Whether there is a store that a version may have been registered in; nothing is imported to tell."""
        return self.tracking_uri is not None or (self.home / "mlflow" / "mlflow.db").is_file()

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def mlflow_uri(self) -> str:
        """The tracking URI; MLflow's own default depends on the working directory, so it is always set."""
        return self.tracking_uri or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"


def read_settings() -> Settings:
    """The settings of this installation.

    Raises `InvalidInputError` if a setting is not usable; names each of them with its place and the value seen.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [_fault(str(fault["loc"][0]), fault["input"], fault["msg"]) for fault in error.errors()]
        raise InvalidInputError("; ".join(faults) + " (`foretell config --help`, README.md)") from None


def _fault(name: str, value: object, message: str) -> str:
    fields = Settings.model_fields
    setting = next(field for field, info in fields.items() if name in (field, info.validation_alias))
    place, called = origin(Settings, setting)
    is_secret = SecretStr in get_args(fields[setting].annotation)
    shown = called if is_secret else f"{called}={value!s}"
    return f"{'' if place == ENVIRONMENT else f'{place}: '}{shown} is not usable: {message}"


def switch_telemetry_off() -> None:
    """Switch the telemetry of our dependencies off, before they are imported. A user's own values win."""
    for name, value in {
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
    }.items():
        os.environ.setdefault(name, value)


def quiet_environment(settings: Settings) -> None:
    """Switch telemetry off, and set what our dependencies read of the environment for this installation.

    Called once by every entry point of ours, before the libraries are imported. A user's own values win.
    What the process makes from then on is its user's alone.
    """
    from foretell.assets.store.permissions import keep_private

    keep_private()
    switch_telemetry_off()
    for name, value in {
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
    """Create Dagster's folder, with telemetry off; the home is closed to others."""
    from foretell.assets.store.permissions import close_folder

    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    config = settings.dagster_home / "dagster.yaml"
    if not config.exists():
        shutil.copyfile(PACKAGE / "config" / "dagster.yaml", config)
    close_folder(settings.home)
