"""One fit, one MLflow run, one version in the registry.

Everything here is idempotent by the *fit digest*: data, parameters and code of a fit. A fit whose
digest the registry knows is never made again, so a run that was killed can simply be run again.
The alias is set last: a champion without its artefacts cannot exist.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from assets.processes import is_alive
from predictors.base import BasePredictor
from predictors.errors import DatasetError
from predictors.families import FAMILIES
from predictors.serving import FORECAST_COLUMNS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.models import ModelSignature

__all__ = ["CHAMPION", "SHADOW", "Fit", "Registry"]

CHAMPION = "champion"
SHADOW = "shadow"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
PID_TAG = "foretell.pid"
PROJECT_ROOT = Path(__file__).resolve().parent.parent
MODEL_REQUIREMENTS = (
    "genai-prices",
    "lightgbm",
    "numpy",
    "pandas",
    "pandera",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
)


@dataclass(frozen=True)
class Fit:
    """What is logged about one fit."""

    family: str
    digest: str
    data_digest: str
    predictor: BasePredictor
    evaluation: pd.DataFrame
    training: pd.DataFrame
    input_example: pd.DataFrame
    model_card: str
    tags: Mapping[str, str] = field(default_factory=dict)
    plots: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """The MLflow tracking store and model registry at `uri`."""

    uri: str
    artifact_root: Path | None = None

    def client(self) -> MlflowClient:
        """A client bound to this store."""
        import mlflow

        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def versions(self, family: str) -> list[ModelVersion]:
        """Every registered version of a family, oldest first."""
        found = self.client().search_model_versions(f"name = '{family}'")
        return sorted(found, key=lambda v: int(v.version))

    def find(self, family: str, digest: str) -> ModelVersion | None:
        """The version whose fit has this digest, if there is one."""
        return next((v for v in self.versions(family) if v.tags.get("fit_digest") == digest), None)

    def aliases(self, family: str) -> dict[str, str]:
        """Alias -> version; nothing where the family is not registered. A store that is down raises."""
        model = self._registered(family)
        return {} if model is None else {str(name): str(number) for name, number in model.aliases.items()}

    def champion(self, family: str) -> ModelVersion | None:
        """The version that consumers load, if there is one."""
        number = self.aliases(family).get(CHAMPION)
        return None if number is None else self.version(family, number)

    def version(self, family: str, number: str) -> ModelVersion:
        """One version by its number.

        Raises
        ------
        DatasetError
            If there is none.
        """
        from mlflow.exceptions import MlflowException

        try:
            return self.client().get_model_version(family, number)
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            known = ", ".join(str(v.version) for v in self.versions(family)) or "none"
            raise DatasetError(f"{family} has no version {number}; there is {known}") from error

    def tags(self, family: str) -> dict[str, str]:
        """Tags of the registered model."""
        model = self._registered(family)
        return {} if model is None else dict(model.tags)

    def load(self, model_version: ModelVersion) -> BasePredictor:
        """The predictor of a version, read with this platform's code.

        Raises
        ------
        DatasetError
            If its artefacts are gone or were written by code that this one cannot read.
        """
        import mlflow

        from predictors.base import load_predictor

        self.client()
        try:
            folder = mlflow.artifacts.download_artifacts(model_version.source)
            return load_predictor(Path(folder) / "artifacts" / "predictor")
        except (OSError, mlflow.MlflowException, DatasetError) as error:
            raise DatasetError(f"{model_version.name} version {model_version.version}: {error}") from error

    def register(self, fit: Fit) -> ModelVersion:
        """Log a fit as one run and register it; the version that is there already where it is known."""
        import mlflow

        known = self.find(fit.family, fit.digest)
        if known is not None:
            return known
        client = self.client()
        self._close_abandoned_runs(client, fit.family)
        with mlflow.start_run(
            experiment_id=self._experiment(client, fit.family), run_name=f"{fit.family}-{fit.digest[:8]}"
        ) as run:
            mlflow.set_tags(
                {
                    "fit_digest": fit.digest,
                    "data_digest": fit.data_digest,
                    "git_commit": _git_commit(),
                    PID_TAG: str(os.getpid()),
                    **fit.tags,
                }
            )
            mlflow.log_params({k: str(v)[:500] for k, v in fit.predictor.get_params(deep=False).items()})
            model = self._log_model(fit)
            mlflow.log_metrics(_metrics(fit), model_id=model.model_id)
            mlflow.log_input(_dataset(fit), context="training")
            mlflow.log_table(fit.evaluation, "evaluation.json")
            mlflow.log_text(fit.model_card, "model_card.md")
            for path in fit.plots.values():
                mlflow.log_artifact(str(path), "plots")
        _ensure_registered_model(client, fit.family)
        return client.create_model_version(
            fit.family,
            source=model.model_uri,
            run_id=run.info.run_id,
            model_id=model.model_id,
            description=fit.model_card,
            # With the tag in the same call, a kill cannot leave a version that `find` does not know.
            tags={"fit_digest": fit.digest, "data_digest": fit.data_digest, **fit.tags},
        )

    # -- single writes, each of which the store makes whole or not at all -----------------------------
    def set_tag(self, family: str, key: str, value: str) -> None:
        """Tag the registered model."""
        self.client().set_registered_model_tag(family, key, value)

    def tag_version(self, family: str, number: str, key: str, value: str) -> None:
        """Tag one version."""
        self.client().set_model_version_tag(family, number, key, value)

    def point(self, family: str, alias: str, number: str | None) -> None:
        """Point an alias at a version, or at nothing."""
        if number is None:
            self.client().delete_registered_model_alias(family, alias)
        else:
            self.client().set_registered_model_alias(family, alias, number)

    def log_series(self, model_version: ModelVersion, step: int, values: Mapping[str, float]) -> None:
        """Add a point to metric series of a version's run; the same point twice counts once."""
        client, timestamp = self.client(), step * 86_400_000
        for key, value in values.items():
            client.log_metric(str(model_version.run_id), key, value, timestamp=timestamp, step=step)

    def prune(self, family: str, *, keep: int, always: Collection[str] = ()) -> list[str]:
        """Delete all but the newest `keep` versions and those named, with their runs and artefacts."""
        always = {*always, *self.aliases(family).values()}
        gone = [v for v in self.versions(family)[:-keep] if str(v.version) not in always]
        for model_version in gone:
            self._delete(model_version)
        return [str(v.version) for v in gone]

    # -- parts ------------------------------------------------------------------------------------
    def _registered(self, family: str) -> RegisteredModel | None:
        from mlflow.exceptions import MlflowException

        try:
            return self.client().get_registered_model(family)
        except MlflowException as error:
            # Only an answer that there is none: a store that cannot be reached is no empty one.
            if error.error_code not in ABSENT:
                raise
            return None

    def _delete(self, model_version: ModelVersion) -> None:
        """The version goes last: where this is cut short, the next night finds it and goes on."""
        client, run_id = self.client(), str(model_version.run_id)
        with _unless_absent():
            _remove(client.get_run(run_id).info.artifact_uri)
            client.delete_run(run_id)
        # The registry does not tell the logged model of a version but in its source.
        scheme, _, model_id = str(model_version.source).rpartition("/")
        if scheme == "models:":
            with _unless_absent():
                _remove(client.get_logged_model(model_id).artifact_location)
                client.delete_logged_model(model_id)
        with _unless_absent():
            client.delete_model_version(model_version.name, str(model_version.version))

    def _experiment(self, client: MlflowClient, family: str) -> str:
        experiment = client.get_experiment_by_name(family)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None if self.artifact_root is None else (self.artifact_root / family).as_uri()
        return str(client.create_experiment(family, artifact_location=location))

    def _close_abandoned_runs(self, client: MlflowClient, family: str) -> None:
        experiment = client.get_experiment_by_name(family)
        if experiment is None:
            return
        for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            pid = run.data.tags.get(PID_TAG)
            if pid is not None and not is_alive(int(pid)):
                client.set_terminated(run.info.run_id, status="KILLED")

    def _log_model(self, fit: Fit) -> Any:
        import mlflow

        with tempfile.TemporaryDirectory() as folder:
            saved = fit.predictor.save(Path(folder) / "predictor")
            code = _code_of(fit.predictor.family, Path(folder) / "predictors")
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("model_entry.py")),
                artifacts={"predictor": str(saved)},
                code_paths=[str(code)],
                signature=_signature(fit.predictor, fit.input_example),
                input_example=fit.input_example,
                pip_requirements=[f"mlflow=={version('mlflow')}", *_pins(MODEL_REQUIREMENTS)],
                metadata={"fit_digest": fit.digest},
            )


def _code_of(family: str, folder: Path) -> Path:
    """Copy to `folder` the package that a version of `family` needs: no other family, no byte code, no weights.

    A saved predictor carries every number it uses, so the network that learning curves ship would only make the store
    grow, by 2 MB a version.
    """
    others = [name for name in FAMILIES if name != family]
    ignored = shutil.ignore_patterns("__pycache__", "weights", *others)
    return Path(shutil.copytree(PROJECT_ROOT / "predictors", folder, ignore=ignored))


@contextmanager
def _unless_absent() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise


def _remove(location: str | None) -> None:
    """Delete a folder of artefacts that lies on this machine; a server keeps its own house."""
    if location is not None and location.startswith("file://"):
        shutil.rmtree(unquote(urlsplit(location).path), ignore_errors=True)


def _pins(names: Sequence[str]) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]


def _signature(predictor: BasePredictor, example: pd.DataFrame) -> ModelSignature:
    """Only what the input schema requires is required; a consumer may leave the rest out.

    Lists and flags are of any type to MLflow, which has no list with gaps in it: the input schema checks them.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    def kind(dtype: object) -> DataType | AnyType:
        if "float" in str(dtype):
            return DataType.double
        if str(dtype) == "bool":
            return DataType.boolean
        return DataType.string if str(dtype).startswith("str") else AnyType()  # type: ignore[no-untyped-call]

    columns = predictor.input_schema.to_schema().columns
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(kind(column.dtype), name, required=column.required) for name, column in columns.items()
    ]
    extra = predictor.extra_columns(example, pd.DataFrame(columns=list(FORECAST_COLUMNS), index=example.index))
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, name) for name in FORECAST_COLUMNS]
    outputs += [ColSpec(kind(dtype), str(name), required=False) for name, dtype in extra.dtypes.items()]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _metrics(fit: Fit) -> dict[str, float]:
    """``<split>/<metric>`` with ``_floor``, ``_excess`` and ``_skill`` beside it, of the predictor on a whole split."""
    values = {}
    own = fit.evaluation["predictor"] == type(fit.predictor).__name__
    columns = {"": "value", "_floor": "noise_floor", "_excess": "excess_error", "_skill": "skill"}
    for row in fit.evaluation[own & (fit.evaluation["segment"] == "all")].to_dict("records"):
        for suffix, column in columns.items():
            if pd.notna(row[column]):
                values[f"{row['split']}/{row['metric']}{suffix}"] = float(row[column])
    return values


def _dataset(fit: Fit) -> Any:
    from mlflow.data.pandas_dataset import from_pandas

    public = fit.training.drop(columns="prompt_text", errors="ignore")  # prompts can be private
    integers = public.select_dtypes("integer").columns  # MLflow warns of integers, which cannot be null
    return from_pandas(
        public.astype(dict.fromkeys(integers, "float64")), name=f"{fit.family}-training", digest=fit.data_digest[:8]
    )


def _ensure_registered_model(client: MlflowClient, family: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(family)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _git_commit() -> str:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
