"""Digests of data, code and fits: what is the same need not be made again."""

import hashlib
import io
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.store.io import write_parquet

LIBRARY = Path(str(files("foretell.predictors")))


def frame_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's content, column names and dtypes; row order counts."""
    digest = hashlib.sha256(json.dumps([[str(c), str(t)] for c, t in frame.dtypes.items()]).encode())
    plain = lists_as_text(frame).reset_index(drop=True)
    digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def dvc_md5(frame: pd.DataFrame) -> str:
    """MD5 of the file that `foretell.assets.store.io.write_table` makes of a table.

    This is the hash by which DVC knows the file: that of the examples of a stage stands in ``dvc.lock``.
    """
    content = io.BytesIO()
    write_parquet(frame, content)
    return hashlib.md5(content.getbuffer(), usedforsecurity=False).hexdigest()


def lists_as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with lists and arrays as JSON, so that rows can be compared and hashed."""
    lists = [
        name
        for name, dtype in frame.dtypes.items()
        if pd.api.types.is_object_dtype(dtype)
        and any(isinstance(value, list | tuple | np.ndarray) for value in frame[name])
    ]
    return frame.assign(**{str(name): [_as_text(value) for value in frame[name]] for name in lists})


def _as_text(value: object) -> str:
    return json.dumps(value, default=lambda other: other.tolist() if hasattr(other, "tolist") else str(other))


def code_digest() -> str:
    """SHA-256 of the library's source, weights and public figures: what a fit is made with beside its rows."""
    figures = sorted((LIBRARY.parent / "public").glob("*.parquet"))
    return fit_digest(folder_digest(LIBRARY, ".py", ".safetensors"), *map(file_digest, figures))


def folder_digest(folder: Path, *suffixes: str) -> str:
    """SHA-256 of the names and the content of all files below a folder, or of those with one of the suffixes."""
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        if not suffixes or path.suffix in suffixes:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fit_digest(*parts: object) -> str:
    """One digest for data, parameters and code of a fit."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:16]
