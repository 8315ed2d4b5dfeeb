"""The tables of LCDB 1.0 that the project carries, made from the single runs of its source package."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

import pandas as pd

from foretell.predictors.errors import DatasetError

__all__ = ["CURVES_FILE", "RUNS_FILE", "SCALE", "read_lcdb_archive", "summarise_runs", "write_starter_tables"]

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
        csv = Path(folder) / "runs.csv"
        try:
            with tarfile.open(archive) as source, csv.open("wb") as file:
                if (member := source.extractfile(MEMBER)) is None:
                    raise KeyError(MEMBER)
                shutil.copyfileobj(member, file)
        except (OSError, KeyError, tarfile.TarError) as error:
            raise DatasetError(f"{archive}: not the source package lcdb 0.1.0 ({error}); fetch it again") from error
        with duckdb.connect(config={"threads": 1}) as connection:
            runs: pd.DataFrame = connection.execute(
                """select openmlid::varchar as dataset, learner, size_train::double as step,
                outer_seed::int as outer_seed, inner_seed::int as inner_seed,
                score_train as train_value, score_test as value, traintime as train_time_s
                from read_csv(?) order by all""",
                [str(csv)],
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
