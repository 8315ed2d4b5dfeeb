"""Digests of data, code and fits: what is the same need not be made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["code_digest", "fit_digest", "frame_digest", "lists_as_text"]

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def frame_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's content, column names and dtypes; row order counts."""
    digest = hashlib.sha256(json.dumps([[str(c), str(t)] for c, t in frame.dtypes.items()]).encode())
    plain = lists_as_text(frame).reset_index(drop=True)
    digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def lists_as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with lists and arrays as JSON, so that rows can be compared and hashed."""
    lists = [
        name
        for name, dtype in frame.dtypes.items()
        if pd.api.types.is_object_dtype(dtype) and _holds_lists(frame[name])
    ]
    return frame.assign(**{str(name): [_as_text(value) for value in frame[name]] for name in lists})


def _holds_lists(values: pd.Series) -> bool:
    return any(isinstance(value, list | tuple | np.ndarray) for value in values)


def _as_text(value: object) -> str:
    return json.dumps(value, default=lambda other: other.tolist() if hasattr(other, "tolist") else str(other))


def code_digest() -> str:
    """SHA-256 of the library's source and weights, which is what a registered model carries with it."""
    digest = hashlib.sha256()
    files = (PROJECT_ROOT / "predictors").rglob("*")
    for path in sorted(file for file in files if file.suffix in (".py", ".safetensors")):
        digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def fit_digest(*parts: object) -> str:
    """One digest for data, parameters and code of a fit."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:16]
