"""LCDB 1.0: accuracy of 20 classifiers on 248 data sets against the number of training items, over 25 seeds.

The source package ``lcdb==0.1.0`` holds ``lcdb/database-accuracy.csv``: 1,953,371 rows, one per data set (OpenML id),
learner, training size, outer and inner seed. Its code is never run. What the project carries
(``data/starter/lcdb``, written by `write_starter_tables`) is derived: means and standard deviations over seeds at every
anchor, and the single runs at each curve's last anchor.

Licence MIT, copyright (c) 2021 Felix Mohr. Mohr, Viering, Loog & van Rijn (2022), LCDB 1.0, ECML PKDD.
https://github.com/fmohr/lcdb
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from predictors.errors import DatasetError
from predictors.schemas.learning_curves import LearningCurves

__all__ = [
    "CURVES_FILE",
    "RUNS_FILE",
    "as_learning_curves",
    "load_final_runs",
    "load_mean_curves",
    "read_lcdb_archive",
    "summarise_runs",
    "write_starter_tables",
]

MEMBER = "lcdb-0.1.0/lcdb/database-accuracy.csv"
CURVES_FILE = "mean_curves.parquet"
RUNS_FILE = "final_runs.parquet"
SCALE = {"value": 1e5, "train_value": 1e4, "sd": 1e5, "split_sd": 1e5}
"""Fractions are stored as whole numbers of these parts, a third of the size of floats."""


def read_lcdb_archive(archive: Path) -> pd.DataFrame:
    """Single runs of the source package.

    Returns
    -------
    DataFrame
        One row per run: `dataset` and `learner` (str), `step` (training items), `outer_seed`, `inner_seed`,
        `train_value`, `value` (accuracy on held-out items, 0-1), `train_time_s`.

    Raises
    ------
    DatasetError
        If the archive cannot be read or lacks the table.
    """
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(archive) as source:
                source.extract(MEMBER, folder, filter="data")
        except (OSError, KeyError, tarfile.TarError) as error:
            raise DatasetError(f"{archive}: not the source package lcdb 0.1.0 ({error}); fetch it again") from error
        with duckdb.connect(config={"threads": 1}) as connection:
            runs: pd.DataFrame = connection.execute(
                """select openmlid::varchar as dataset, learner, size_train::double as step,
                outer_seed::int as outer_seed, inner_seed::int as inner_seed,
                score_train as train_value, score_test as value, traintime as train_time_s
                from read_csv(?) order by all""",
                [str(Path(folder) / MEMBER)],
            ).df()
    return runs


def summarise_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds at every anchor.

    Returns
    -------
    DataFrame
        One row per data set, learner and step: `value` and `train_value` (means), `sd` (of single runs), `n`,
        `split_sd` (of the means of outer splits) and `n_splits`; the deviations are NaN for a single run or split.
    """
    keys = ["dataset", "learner", "step"]
    splits = runs.groupby([*keys, "outer_seed"], as_index=False)["value"].mean()
    by_split = splits.groupby(keys)["value"].agg(split_sd="std", n_splits="size")
    table = runs.groupby(keys).agg(
        value=("value", "mean"), train_value=("train_value", "mean"), sd=("value", "std"), n=("value", "size")
    )
    return table.join(by_split).reset_index()


def write_starter_tables(runs: pd.DataFrame, folder: Path) -> None:
    """Write the derived tables that the project carries, from `read_lcdb_archive`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    curves = summarise_runs(runs)
    for name, scale in SCALE.items():
        curves[name] = (curves[name] * scale).round().astype("Int32")
    last = runs[runs["step"] == runs.groupby(["dataset", "learner"])["step"].transform("max")]
    final = last[["dataset", "learner", "outer_seed", "inner_seed", "value"]].copy()
    final["value"] = (final["value"] * 1e4).round()
    for frame, name in ((curves, CURVES_FILE), (final, RUNS_FILE)):
        small = frame.astype({"dataset": "category", "learner": "category"})
        for column in frame.columns.difference(["dataset", "learner"]):
            small[column] = frame[column].astype("Int32")
        table = pa.Table.from_pandas(small, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, folder / name, compression="zstd", compression_level=19)


def load_mean_curves(folder: Path) -> pd.DataFrame:
    """The derived table of means, as `summarise_runs` returns it (rounded to 1e-5, training accuracy to 1e-4).

    Raises
    ------
    DatasetError
        If the file is missing or of another form.
    """
    table = _read(folder / CURVES_FILE)
    for name, scale in SCALE.items():
        table[name] = table[name].to_numpy(dtype=np.float64, na_value=np.nan) / scale
    counts = {"step": "float64", "n": "int64", "n_splits": "int64"}
    return table.astype({"dataset": "str", "learner": "str", **counts})


def load_final_runs(folder: Path) -> pd.DataFrame:
    """Single runs at the last anchor of every curve: dataset, learner, outer_seed, inner_seed, value (0-1).

    Raises
    ------
    DatasetError
        If the file is missing or of another form.
    """
    table = _read(folder / RUNS_FILE)
    table["value"] = table["value"].astype("float64") / 1e4
    return table.astype({"dataset": "str", "learner": "str", "outer_seed": "int64", "inner_seed": "int64"})


def as_learning_curves(table: pd.DataFrame) -> pd.DataFrame:
    """`summarise_runs` in the canonical form; the standard error counts all runs as independent."""
    out = pd.DataFrame({
        "curve_id": "lcdb/" + table["dataset"] + "/" + table["learner"], "dataset": table["dataset"],
        "learner": table["learner"], "resource": "training items", "resource_unit": "items", "step": table["step"],
        "seed": pd.array([pd.NA] * len(table), dtype="Int64"), "metric": "accuracy", "value": table["value"],
        "higher_is_better": True, "standard_error": table["sd"] / np.sqrt(table["n"]),
    })  # fmt: skip
    return LearningCurves.validate(out, lazy=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); restore it from the repository") from error
