"""A version that today's code cannot read, asked through the code that it carries.

What a family saves changes with its code. A version of before is then no predictor of today's classes; it is asked as a
consumer asks it (`model_entry`): its code is imported from memory under a name that holds its digest. The oldest
versions carry a package `predictors` that imports itself by that name; it is written anew with relative imports.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.predictors.base import BasePredictor, Cell
from foretell.predictors.errors import DatasetError, ForecastError, InvalidInputError


class CarriedPredictor(BasePredictor):
    """The predictor of another version of the code, with that version's input schema, family and cells.

    It has the method `distribution` where that predictor (`inner`) has it, as those of curves do. `folder` holds the
    artifacts of the version: `predictor` and `code`.
    """

    def __init__(self, *, inner: Any, folder: Path) -> None:
        self.inner = inner
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[Path], BasePredictor], tuple[Path]]:
        return load_carried, (self.folder,)  # its classes are of a package that another process has yet to import

    @property
    def known_cells(self) -> frozenset[Cell] | None:
        cells: frozenset[Cell] | None = getattr(self.inner, "known_cells", None)
        return cells

    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        known, basis = (self._ask(name, X) if hasattr(self.inner, name) else None for name in ("known_of", "basis_of"))
        return known, basis

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(self._ask("extra_columns", X, forecast))

    def check_request(self, X: pd.DataFrame) -> None:
        self._ask("check_request", X)

    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._ask("predict_quantiles", X, list(levels)))

    def _predict_mean(self, X: pd.DataFrame) -> NDArray[Any]:
        return np.asarray(self._ask("predict_mean", X))

    def _distribution(self, X: pd.DataFrame) -> Any:
        forecast = self._ask("distribution", X)
        if not hasattr(forecast, "probability_better"):  # which was called so before, with the same meaning
            object.__setattr__(forecast, "probability_better", forecast.probability_above)
        return forecast

    def _ask(self, method: str, *arguments: Any) -> Any:
        """The answer of the other code; of today's for a method that it has not yet."""
        with _errors_of_today():
            ask = getattr(self.inner, method, None) or getattr(super(), method)
            return ask(*arguments)


def load_carried(folder: Path) -> BasePredictor:
    """Read a version, of the artifacts in `folder`, with the code it carries: this runs code of the store.

    Raises DatasetError if what it carries cannot read it.
    """
    from foretell.assets.registry.model_entry import importable

    with _errors_of_today():
        if _by_code_paths(folder).is_dir():
            inner = _load_by_code_paths(folder)
        else:
            inner = import_module(f"{importable(folder / 'code')}.predictors.base").load_predictor(folder / "predictor")
    members = {
        name: getattr(inner, name) for name in ("family", "input_schema", "scope_columns") if hasattr(inner, name)
    }
    if hasattr(inner, "distribution"):
        members["distribution"] = CarriedPredictor._distribution
    # What wants today's class of an equal name says which one it was given.
    carried: CarriedPredictor = type(f"Former{type(inner).__name__}", (CarriedPredictor,), members)(
        inner=inner, folder=folder
    )
    carried.n_samples_ = inner.n_samples_
    return carried


def carries_code(folder: Path) -> bool:
    """True if the version whose artifacts are in `folder` brought its code."""
    return (folder / "code").is_dir() or _by_code_paths(folder).is_dir()


def _by_code_paths(folder: Path) -> Path:
    return folder.parent / "code" / "predictors"


def _load_by_code_paths(folder: Path) -> Any:
    """Read a version whose code was made to be imported as `predictors`, of which a process could hold one."""
    from foretell.assets.registry.model_entry import importable
    from foretell.predictors.manifest import read_manifest

    code = _by_code_paths(folder)
    with tempfile.TemporaryDirectory() as named_anew:
        (Path(named_anew) / "__init__.py").touch()
        for file in code.rglob("*.py"):
            path = file.relative_to(code)
            text = re.sub(r"(?m)^( *from )predictors\.?", rf"\1{'.' * len(path.parts)}", file.read_text("utf-8"))
            text = re.sub(r'"(predictors\.[\w.]*)"', r'(__name__.partition(".")[0] + ".\1")', text)
            copy = Path(named_anew) / "predictors" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, "utf-8")
        package = importable(Path(named_anew))
    manifest = read_manifest(folder / "predictor")
    module, _, name = manifest["class"].partition(":")
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in manifest["params"].items()}
    inner = getattr(import_module(f"{package}.{module}"), name)(**params)
    inner._load(folder / "predictor", manifest["state"])
    inner.n_samples_ = manifest["n_samples"]
    return inner


@contextmanager
def _errors_of_today() -> Iterator[None]:
    """What the carried code raises on purpose is of its own classes: say it in today's, which callers know."""
    try:
        yield
    except (ValueError, OSError) as error:
        if isinstance(error, ForecastError) or ForecastError.__name__ not in {c.__name__ for c in type(error).__mro__}:
            raise
        kind = DatasetError if isinstance(error, OSError) else InvalidInputError
        raise kind(str(error)) from error
