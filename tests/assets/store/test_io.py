"""A table that was damaged is refused, whichever bit is wrong; so is one of a newer layout."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from foretell.assets.engine import TABLE_VERSION, VERSION_KEY, read_part
from foretell.assets.store.io import read_table, write_table
from foretell.predictors.errors import DatasetError


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"model": rng.choice(["a", "b"], 2000), "output_tokens": rng.integers(1, 10**6, 2000)})


def test_no_bit_flip_changes_a_table_unnoticed(tmp_path: Path) -> None:
    # Without checksums of pages 102 of 150 flips did.
    path = tmp_path / "t.parquet"
    write_table(table(), path)
    whole, rng, n_refused = path.read_bytes(), random.Random(1), 0
    for _ in range(150):
        position = rng.randrange(len(whole))
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << rng.randrange(8)]) + whole[position + 1 :])
        try:
            pd.testing.assert_frame_equal(read_part(str(path)), table())
        except DatasetError:
            n_refused += 1
    assert n_refused > 100


def test_table_of_a_newer_layout_is_refused(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "t.parquet")
    stored = pq.read_table(tmp_path / "t.parquet")
    assert stored.schema.metadata[VERSION_KEY] == str(TABLE_VERSION).encode()
    newer = stored.replace_schema_metadata({**stored.schema.metadata, VERSION_KEY: str(TABLE_VERSION + 1).encode()})
    pq.write_table(newer, tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match="upgrade foretell"):
        read_table(tmp_path, "t")


def test_table_without_a_number_is_read(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "t.parquet", index=False)  # as the version before wrote it
    pd.testing.assert_frame_equal(read_table(tmp_path, "t"), table())
