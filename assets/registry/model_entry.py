"""What MLflow runs to serve a registered predictor (models from code: no pickle anywhere).

A version carries this file, the saved predictor and the code of its family as artifacts; nothing else of the project
travels, so this file imports nothing else. A consumer needs `mlflow` and the model's own pinned requirements.

The code is read into memory and imported under a name that holds its digest. Any number of versions therefore live in
one process, each with its own code: the name `predictors` is never imported, an equal name can mean no other code, and
an import made long after the version's folder was pruned still works. MLflow's `code_paths` do none of this.
"""

import hashlib
import io
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.resources.abc import TraversableResources
from importlib.util import decode_source, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile
from zipfile import Path as ZipPath

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class PackageInMemory(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of the top-level package `name`, whose `files` it holds by their path below it.

    These are modules, and data that they read with `importlib.resources`.
    """

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        self.name = name
        memory = io.BytesIO()
        with ZipFile(memory, "w", ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        self.archive = ZipFile(memory)
        self.paths = frozenset(files)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, where it is one of this package."""
        file = self._file(fullname)
        return None if file is None else spec_from_loader(fullname, self, origin=f"{self.name}/{file}")

    def is_package(self, fullname: str) -> bool:
        return self._present_file(fullname).endswith("__init__.py")

    def get_source(self, fullname: str) -> str:
        return decode_source(self.archive.read(self._present_file(fullname)))

    def get_code(self, fullname: str) -> CodeType:
        # A traceback shows the file's name and, through `get_source`, its lines.
        return compile(
            self.get_source(fullname), f"{self.name}/{self._present_file(fullname)}", "exec", dont_inherit=True
        )

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        """What `importlib.resources.files` reads."""
        folder = self._present_file(fullname).rpartition("/")[0]
        return _Resources(ZipPath(self.archive, f"{folder}/" if folder else ""))

    def _file(self, fullname: str) -> str | None:
        package, _, module = fullname.partition(".")
        if package != self.name:
            return None
        stem = module.replace(".", "/")
        candidates = (f"{stem}/__init__.py".lstrip("/"), f"{stem}.py")
        return next((file for file in candidates if file in self.paths), None)

    def _present_file(self, fullname: str) -> str:
        file = self._file(fullname)
        if file is None:
            raise ImportError(f"{fullname} is no module of {self.name}", name=fullname)
        return file


class _Resources(TraversableResources):
    def __init__(self, folder: ZipPath) -> None:
        self.folder = folder

    def files(self) -> ZipPath:
        return self.folder


def importable(folder: Path) -> str:
    """Make the package in `folder` importable, without the folder from now on, and return its name.

    Two folders with equal files are one package.
    """
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    name = f"foretell_{digest.hexdigest()}"
    if name not in sys.modules:
        # Last: no other import of the process pays for it. Two threads may both come here; their code is equal.
        sys.meta_path.append(PackageInMemory(name, files))
        import_module(name)
    return name


class RegisteredForecaster(PythonModel):
    """Forecasts from a frame: one row per request, columns of the model's signature.

    MLflow hands the object over in a global, so that loads in several threads may share one object. What a version
    needs is therefore kept by the path of its predictor, never in an attribute of its own.
    """

    def __init__(self) -> None:
        self.forecasters: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {}

    def load_context(self, context: PythonModelContext) -> None:
        code = importable(Path(context.artifacts["code"]))
        predictor = import_module(f"{code}.predictors.base").load_predictor(context.artifacts["predictor"])
        forecast_frame = import_module(f"{code}.predictors.serving").forecast_frame
        self.forecasters[context.artifacts["predictor"]] = lambda frame: forecast_frame(predictor, frame)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Mean, median, intervals and, where a price is known, dollars; the index of the input is kept."""
        return self.forecasters[context.artifacts["predictor"]](model_input)


mlflow.models.set_model(RegisteredForecaster())
