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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from foretell.assets.registry.versions import FamilyRecord, Version, read_family, read_metrics
from foretell.assets.store.durable import is_alive
from foretell.predictors.errors import DatasetError, OtherCodeError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from foretell.predictors.base import BasePredictor

CHAMPION = "champion"
SHADOW = "shadow"
BASIS_TAG = "basis"
BASELINE = "baseline"
"""Value of `BASIS_TAG` for a version that is the reference baseline of its family, not its predictor."""
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
PID_TAG = "foretell.pid"


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
    plots: Sequence[Path] = ()


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

    def family(self, family: str) -> FamilyRecord:
        """What is registered of a family; nothing where it is not registered. A store that is down raises."""
        record = None if self._database is None else read_family(self._database, family)
        if record is not None:
            return record
        with _unless(*ABSENT):  # only an answer that there is none: a store that cannot be reached is no empty one
            model = self.client().get_registered_model(family)
            versions = map(Version.of, self.client().search_model_versions(f"name = '{family}'"))
            aliases = {str(name): str(number) for name, number in model.aliases.items()}
            return FamilyRecord(aliases, dict(model.tags), tuple(sorted(versions, key=lambda v: int(v.version))))
        return FamilyRecord({}, {}, ())

    def find(self, family: str, digest: str) -> Version | None:
        """The newest version whose fit has this digest and whose files are whole, if there is one."""
        for version in reversed(self.family(family).versions):
            if version.tags.get("fit_digest") == digest:
                with suppress(DatasetError):
                    self.manifest(version)
                    return version
        return None

    def champion(self, family: str) -> Version | None:
        """The version that consumers load, if there is one."""
        number = self.family(family).aliases.get(CHAMPION)
        return None if number is None else self.version(family, number)

    def version(self, family: str, number: str) -> Version:
        """One version by its number; a `DatasetError` names those that there are."""
        registered = self.family(family).versions
        version = next((v for v in registered if v.version == number), None)
        if version is None:
            numbers = ", ".join(v.version for v in registered) or "none"
            raise DatasetError(f"{family} has no version {number}; there is {numbers}")
        return version

    def metrics(self, model_version: Version) -> dict[str, float]:
        """What the run of a version was judged by; nothing where the run is gone."""
        metrics = None if self._database is None else read_metrics(self._database, model_version.run_id)
        if metrics is not None:
            return metrics
        with _unless(*ABSENT):
            return dict(self.client().get_run(model_version.run_id).data.metrics)
        return {}

    def load(self, model_version: Version) -> BasePredictor:
        """The predictor of a version, read with this platform's code; with the code it carries where that cannot.

        Raises DatasetError if its artefacts are gone, are damaged, or were written by other code, which it does not
        carry.
        """
        from foretell.assets.registry.carried import carries_code, load_carried
        from foretell.predictors.base import load_predictor

        with self._predictor_of(model_version) as folder:
            try:
                return load_predictor(folder)
            except OtherCodeError:
                if not carries_code(folder.parent):
                    raise
                return load_carried(folder.parent)

    def manifest(self, model_version: Version) -> dict[str, Any]:
        """What the saved predictor of a version says of itself, without loading it.

        Raises DatasetError if its artefacts are gone or are damaged.
        """
        from foretell.predictors.manifest import read_manifest

        with self._predictor_of(model_version) as folder:
            return read_manifest(folder)

    def register(self, fit: Fit) -> Version:
        """Log a fit as one run and register it; the version that is there already where the registry holds the fit."""
        import mlflow

        from foretell.assets.registry.packing import packed

        registered = self.find(fit.family, fit.digest)
        if registered is not None:
            return registered
        client = self.client()
        experiment = self._experiment(client, fit.family)
        _close_abandoned_runs(client, experiment)
        # With the tag in the call that makes it, a kill cannot leave a version that `find` does not know.
        tags = {"fit_digest": fit.digest, "data_digest": fit.data_digest, **fit.tags}
        with mlflow.start_run(experiment_id=experiment, run_name=f"{fit.family}-{fit.digest[:8]}") as run:
            mlflow.set_tags({"git_commit": _git_commit(), PID_TAG: str(os.getpid()), **tags})
            mlflow.log_params({k: str(v)[:500] for k, v in fit.predictor.get_params().items()})
            with tempfile.TemporaryDirectory() as folder:
                arguments = packed(fit.predictor, fit.input_example, Path(folder))
                model = mlflow.pyfunc.log_model(name="model", metadata={"fit_digest": fit.digest}, **arguments)
            mlflow.log_metrics(_metrics(fit), model_id=model.model_id)
            mlflow.log_input(_dataset(fit), context="training")
            mlflow.log_table(fit.evaluation, "evaluation.json")
            mlflow.log_text(fit.model_card, "model_card.md")
            for path in fit.plots:
                mlflow.log_artifact(str(path), "plots")
        with _unless("RESOURCE_ALREADY_EXISTS"):
            client.create_registered_model(fit.family)
        version = client.create_model_version(
            fit.family,
            source=model.model_uri,
            run_id=run.info.run_id,
            model_id=model.model_id,
            description=fit.model_card,
            tags=tags,
        )
        return self.version(fit.family, str(version.version))

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

    def log_series(self, model_version: Version, step: int, values: Mapping[str, float]) -> None:
        """Add a point to metric series of a version's run; the same point twice counts once."""
        client, timestamp = self.client(), step * 86_400_000
        for key, value in values.items():
            client.log_metric(str(model_version.run_id), key, value, timestamp=timestamp, step=step)

    def prune(self, family: str, *, keep: int, always: Collection[str] = ()) -> list[str]:
        """Delete all but the newest `keep` versions and those named, with their runs and artefacts."""
        always = {*always, *self.family(family).aliases.values()}
        gone = [v for v in self.family(family).versions[:-keep] if str(v.version) not in always]
        for model_version in gone:
            self._delete(model_version)
        return [str(v.version) for v in gone]

    # -- parts ------------------------------------------------------------------------------------
    @property
    def _database(self) -> Path | None:
        """The store's file, where it is one of this machine."""
        path = Path(self.uri.removeprefix("sqlite:///"))
        return path if self.uri.startswith("sqlite:///") and path.is_file() else None

    @contextmanager
    def _predictor_of(self, model_version: Version) -> Iterator[Path]:
        """Folder of the saved predictor; whatever is wrong with it is a `DatasetError` that names the version."""
        folder = model_version.folder
        try:
            whole = folder if folder is not None and folder.is_dir() else self._downloaded(model_version.source)
            yield whole / "artifacts" / "predictor"
        except OSError as error:
            raise DatasetError(f"{model_version.name} version {model_version.version}: {error}") from error

    def _downloaded(self, source: str) -> Path:
        import mlflow

        self.client()
        try:
            return Path(mlflow.artifacts.download_artifacts(source))
        except mlflow.MlflowException as error:
            raise DatasetError(str(error)) from error

    def _delete(self, model_version: Version) -> None:
        """The version goes last: where this is cut short, the next night finds it and goes on."""
        client, run_id = self.client(), str(model_version.run_id)
        with _unless(*ABSENT):
            _remove(client.get_run(run_id).info.artifact_uri)
            client.delete_run(run_id)
        # The registry does not tell the logged model of a version but in its source.
        scheme, _, model_id = str(model_version.source).rpartition("/")
        if scheme == "models:":
            with _unless(*ABSENT):
                _remove(client.get_logged_model(model_id).artifact_location)
                client.delete_logged_model(model_id)
        with _unless(*ABSENT):
            client.delete_model_version(model_version.name, str(model_version.version))

    def _experiment(self, client: MlflowClient, family: str) -> str:
        experiment = client.get_experiment_by_name(family)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None if self.artifact_root is None else (self.artifact_root / family).as_uri()
        return str(client.create_experiment(family, artifact_location=location))


def _close_abandoned_runs(client: MlflowClient, experiment: str) -> None:
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        pid = run.data.tags.get(PID_TAG)
        if pid is not None and not is_alive(int(pid)):
            client.set_terminated(run.info.run_id, status="KILLED")


@contextmanager
def _unless(*codes: str) -> Iterator[None]:
    """End the block where MLflow answers with one of these codes; every other error goes on."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in codes:
            raise


def _remove(location: str | None) -> None:
    """Delete a folder of artefacts that lies on this machine; a server keeps its own house."""
    if location is not None and location.startswith("file://"):
        shutil.rmtree(unquote(urlsplit(location).path), ignore_errors=True)


def _metrics(fit: Fit) -> dict[str, float]:
    """``<split>/<metric>`` with its floor, excess and skill (`headline`), of the predictor on a whole split."""
    from foretell.assets.judging.pipeline import headline

    of_predictor = fit.evaluation["predictor"] == type(fit.predictor).__name__
    splits = fit.evaluation[of_predictor & (fit.evaluation["segment"] == "all")].groupby("split")
    return {f"{split}/{key}": value for split, rows in splits for key, value in headline(rows).items()}


def _dataset(fit: Fit) -> Any:
    from mlflow.data.pandas_dataset import from_pandas

    public = fit.training.drop(columns="prompt_text", errors="ignore")  # prompts can be private
    integers = public.select_dtypes("integer").columns  # MLflow warns of integers, which cannot be null
    return from_pandas(
        public.astype(dict.fromkeys(integers, "float64")), name=f"{fit.family}-training", digest=fit.data_digest[:8]
    )


def _git_commit() -> str:
    try:
        where = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        head = subprocess.run(where, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip()
