"""Arrays: the types that the package calls by name, columns as arrays, and files of numbers alone (safetensors)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]
"""Positions in another array."""
Mask: TypeAlias = NDArray[np.bool_]


def numbers_of(frame: pd.DataFrame, name: str) -> Floats:
    """Column `name` as floats, NaN where it is null or not there; shape (n_samples,)."""
    return frame[name].to_numpy(np.float64, na_value=np.nan) if name in frame else np.full(len(frame), np.nan)


def names_of(frame: pd.DataFrame, name: str) -> NDArray[np.object_]:
    """Column `name` as it is, the empty string where it is null or not there; shape (n_samples,)."""
    return np.asarray(frame[name].to_numpy(object, na_value="") if name in frame else np.full(len(frame), "", object))


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to a file."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote."""
    from safetensors.numpy import load_file

    arrays: dict[str, NDArray[Any]] = load_file(path)
    return arrays
