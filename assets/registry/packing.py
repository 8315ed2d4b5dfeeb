"""What a registered version carries: the saved predictor, its code, its signature and its pinned requirements."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from foretell.assets.store.digests import LIBRARY
from foretell.predictors.base import BasePredictor
from foretell.predictors.families import FAMILIES
from foretell.predictors.serving import FORECAST_COLUMNS, KNOWN_COLUMNS

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import DataType
    from mlflow.types.schema import AnyType

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


def packed(predictor: BasePredictor, input_example: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Write predictor and code to `folder`; return the arguments that `mlflow.pyfunc.log_model` takes of them.

    The code is an artifact, not one of MLflow's `code_paths`: `model_entry` says why.
    """
    return {
        "python_model": str(Path(__file__).with_name("model_entry.py")),
        "artifacts": {
            "predictor": str(predictor.save(folder / "predictor")),
            "code": str(_code_of(predictor.family, folder / "code")),
        },
        "signature": _signature(predictor, input_example),
        "input_example": input_example,
        "pip_requirements": [f"{name}=={version(name)}" for name in ("mlflow", *MODEL_REQUIREMENTS)],
    }


def _code_of(family: str, folder: Path) -> Path:
    """Copy to `folder` the package that a version of `family` needs: no other family, no byte code, no weights.

    A saved predictor carries every number it uses, so the network that learning curves ship would only make the store
    grow, by 2 MB a version.
    """
    others = [name for name in FAMILIES if name != family]
    ignored = shutil.ignore_patterns("__pycache__", "weights", *others)
    shutil.copytree(LIBRARY, folder / "predictors", ignore=ignored)
    (folder / "__init__.py").touch()
    return folder


def _signature(predictor: BasePredictor, example: pd.DataFrame) -> "ModelSignature":
    """Only what the input schema requires is required; a consumer may leave the rest out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns = predictor.input_schema.to_schema().columns
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_kind(column.dtype), name, required=column.required) for name, column in columns.items()
    ]
    extra = predictor.extra_columns(example, pd.DataFrame(columns=list(FORECAST_COLUMNS), index=example.index))
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, name, required=False) for name in KNOWN_COLUMNS]
    outputs += [ColSpec(DataType.double, name) for name in FORECAST_COLUMNS]
    outputs += [ColSpec(_kind(dtype), str(name), required=False) for name, dtype in extra.dtypes.items()]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _kind(dtype: object) -> "DataType | AnyType":
    """The type that MLflow checks: any for lists and flags, where it allows no gaps; the input schema checks those."""
    from mlflow.types import DataType
    from mlflow.types.schema import AnyType

    if "float" in str(dtype):
        return DataType.double
    if str(dtype) == "bool":
        return DataType.boolean
    return DataType.string if str(dtype).startswith("str") else AnyType()  # type: ignore[no-untyped-call]
