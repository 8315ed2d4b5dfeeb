"""Serve a champion that is replaced at night, without a failed request.

A service loads ``models:/<family>@champion`` once and asks the registry now and then which version that is. When
the alias has moved, the new model is loaded and tried *beside* the old one, which goes on answering; only then do
they change places, in one assignment. A registry that is down, or a version that cannot be loaded, leaves the old
one serving.

    watch = ModelWatch("thinking_tokens", tracking_uri="http://mlflow.internal:5000").start()
    watch.predict(frame)

Needs `mlflow` and the model's own requirements, nothing of this repository.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

import mlflow
import pandas as pd

__all__ = ["ModelWatch"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    version: str
    model: Any


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
        answer: pd.DataFrame = loaded.model.predict(frame)
        return answer

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
        model = mlflow.pyfunc.load_model(f"models:/{self.family}/{version}")
        if model.input_example is not None:
            model.predict(model.input_example)  # it must answer before it is let in
        return _Loaded(version, model)
