"""Tables as parquet: one file per asset, or per asset and day. Written whole or not at all."""

from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foretell.assets.engine import Table, numbered
from foretell.assets.store.durable import written_beside


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` to `path` through a temporary file, so that a reader never sees half of it.

    The file says which layout its columns have, and every page of it carries a checksum that readers verify.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as temporary, temporary.open("wb") as file:
        write_parquet(frame, file)


def write_parquet(frame: pd.DataFrame, file: BinaryIO) -> None:
    """Write the bytes of a table: with the number of its layout, and a checksum on every page that readers verify."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(numbered(table), file, write_page_checksum=True)


def read_table(root: Path, name: str) -> pd.DataFrame:
    """Read an asset's table: every day of it where it is cut into days.

    Raises `FileNotFoundError` if it was never materialised.
    """
    single = root / f"{name}.parquet"
    return (Table((str(single),)) if single.exists() else Table.under(root / name)).collect()
