"""Serve a champion that is replaced at night, without a failed request.

A service loads ``models:/<family>@champion`` once and asks the registry now and then which version that is. When
the alias has moved, the new model is loaded and tried *beside* the old one, which goes on answering; only then do
they change places, in one assignment. A registry that is down, or a version that cannot be loaded, leaves the old
one serving.

    watch = ModelWatch("thinking_tokens", tracking_uri="http://mlflow.internal:5000").start()
    watch.predict(frame)

Needs `mlflow` and the model's own requirements, nothing of this project: a service copies this file.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import re
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import PyFuncModel

__all__ = ["ModelWatch", "load_version"]

log = logging.getLogger(__name__)

_ONE_LOAD = threading.Lock()
"""MLflow loads through globals, so that of two loads at once one can fail or, of old versions, take its place."""


def load_version(uri: str) -> PyFuncModel:
    """Load a registered version beside any others, in any thread; each runs the code that it carries.

    Parameters
    ----------
    uri : str
        Such as ``models:/thinking_tokens@champion``, in the registry that `mlflow.set_tracking_uri` names.

    Returns
    -------
    PyFuncModel
        As `mlflow.pyfunc.load_model` returns it.
    """
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    with _ONE_LOAD:
        if (folder / "code" / "predictors").is_dir():
            folder = _renamed(folder)
        model: PyFuncModel = mlflow.pyfunc.load_model(str(folder))
    return model


def _renamed(version: Path) -> Path:
    """Copy a version that ships its code as `code_paths`, its package under a name that holds the digest of the code.

    Foretell made such versions before the code became an artifact. They import it as `predictors`, of which a process
    holds only one. The copy lives as long as the process.
    """
    code = version / "code" / "predictors"
    digest = hashlib.sha256()
    for module in sorted(code.rglob("*.py")):
        digest.update(f"{module.relative_to(code).as_posix()}\0".encode() + module.read_bytes() + b"\0")
    name = f"foretell_{digest.hexdigest()}"

    temporary = Path(tempfile.mkdtemp(prefix="foretell-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    copy = temporary / "version"
    shutil.copytree(version, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "code" / "predictors").rename(copy / "code" / name)
    for module in (*copy.glob("*.py"), *(copy / "code").rglob("*.py")):
        _replace(_IMPORTED_OR_QUOTED, name, module)
    for manifest in (copy / "artifacts").rglob("predictor.json"):
        _replace(_CLASS, name, manifest)
    return copy


_IMPORTED_OR_QUOTED = re.compile(r"""(?<=from )predictors\b|(?<=import )predictors\b|(?<=["'])predictors(?=\.)""")
_CLASS = re.compile(r'(?<="class": ")predictors(?=\.)')


def _replace(pattern: re.Pattern[str], by: str, file: Path) -> None:
    file.write_text(pattern.sub(by, file.read_text("utf-8")), "utf-8")


@dataclass(frozen=True)
class _Loaded:
    version: str
    model: PyFuncModel


class ModelWatch:
    """The champion of a family, kept up to date by a thread.

    Parameters
    ----------
    family : str
        Name of the registered model.
    tracking_uri : str
        Where the registry is.
    alias : str, optional
    every_s : float, optional
        Seconds between two questions to the registry.
    """

    def __init__(self, family: str, *, tracking_uri: str, alias: str = "champion", every_s: float = 30.0) -> None:
        self.family, self.alias, self.every_s = family, alias, every_s
        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        self._client = mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._loaded = self._load(self._current())

    @property
    def version(self) -> str:
        """The version that answers now."""
        return self._loaded.version

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Forecast; always with one whole model, the old or the new."""
        loaded = self._loaded  # one read: a change of places in between does not matter
        return pd.DataFrame(loaded.model.predict(frame))

    def refresh(self) -> bool:
        """Ask the registry once; True where a new model took over. Never raises: the old one goes on."""
        try:
            version = self._current()
            if version == self._loaded.version:
                return False
            self._loaded = self._load(version)
        except Exception:  # whatever is wrong with the new one, the old one serves
            log.exception("%s@%s could not be refreshed; version %s goes on", self.family, self.alias, self.version)
            return False
        log.info("%s@%s is version %s now", self.family, self.alias, self.version)
        return True

    def start(self) -> ModelWatch:
        """Ask every `every_s` seconds from now on."""
        self._thread = threading.Thread(target=self._run, name=f"watch-{self.family}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; forecasts go on with the model that is there."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self.every_s):
            self.refresh()

    def _current(self) -> str:
        return str(self._client.get_model_version_by_alias(self.family, self.alias).version)

    def _load(self, version: str) -> _Loaded:
        model = load_version(f"models:/{self.family}/{version}")
        if model.input_example is not None:
            model.predict(model.input_example)  # it must answer before it is let in
        return _Loaded(version, model)
