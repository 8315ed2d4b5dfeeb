"""Where tables lie: one parquet file per asset, or per asset and day. Written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd

from assets.engine import Table
from assets.lineage import column_lineage, origins

__all__ = ["ParquetIOManager", "read_table", "write_table"]


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` to `path` through a temporary file, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        frame.to_parquet(temporary, index=False)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_table(root: Path, name: str) -> pd.DataFrame:
    """Read an asset's table: every day of it where it is cut into days.

    Raises
    ------
    FileNotFoundError
        If it was never materialised.
    """
    single = root / f"{name}.parquet"
    files = [single] if single.exists() else sorted((root / name).glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"{root / name}: no such table yet; run `foretell demo` or the job that makes it")
    return Table(tuple(map(str, files))).collect()


class ParquetIOManager(dg.ConfigurableIOManager):
    """Frames as parquet below `root`: ``<asset>.parquet`` or ``<asset>/<day>.parquet``.

    An asset that is not cut into days reads the newest `window_days` of one that is, by default all: so the
    cost of a night does not grow with the years in the lake.
    """

    root: str
    window_days: int | None = None

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | None) -> None:
        if obj is None:
            return
        path = self._folder(context)
        path = path / f"{context.asset_partition_key}.parquet" if context.has_asset_partitions else self._single(path)
        write_table(obj, path)
        lineage = column_lineage(context.asset_key.to_user_string(), obj.columns)
        context.add_output_metadata(
            {
                **({} if lineage is None else {"dagster/column_lineage": lineage}),
                "dagster/row_count": len(obj),
                "dagster/column_schema": dg.TableSchema(
                    [
                        dg.TableColumn(str(name), str(dtype), description=origins(lineage, str(name)))
                        for name, dtype in obj.dtypes.items()
                    ]
                ),
                "path": dg.MetadataValue.path(str(path)),
                "size_bytes": path.stat().st_size,
                "preview": dg.MetadataValue.md(_preview(obj)),
            }
        )

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Table:
        # An asset that takes a `Table` works on it part by part, wherever the engine is.
        table = self._table(context)
        return table if context.dagster_type.typing_type is Table else table.collect()

    def _table(self, context: dg.InputContext) -> Table:
        path = self._folder(context)
        if not context.has_asset_partitions:
            return Table((str(self._single(path)),))
        # An unpartitioned consumer reads every day of the window; most days of a long calendar hold nothing.
        on_disk = {file.stem: file for file in sorted(path.glob("*.parquet"))}
        days = [day for day in context.asset_partition_keys if day in on_disk]
        if not days:
            raise FileNotFoundError(f"{path}: no day has been materialised; run `foretell ingest PATH` first")
        if self.window_days is not None:
            first = (date.fromisoformat(days[-1]) - timedelta(days=self.window_days - 1)).isoformat()
            days = [day for day in days if day >= first]
        return Table(tuple(str(on_disk[day]) for day in days))

    def _folder(self, context: dg.InputContext | dg.OutputContext) -> Path:
        return Path(self.root).joinpath(*context.asset_key.path)

    @staticmethod
    def _single(path: Path) -> Path:
        return path.with_name(f"{path.name}.parquet")


def _preview(frame: pd.DataFrame, rows: int = 5, columns: int = 8) -> str:
    """A few rows as Markdown, without the text of prompts (which may be private)."""
    head = frame.drop(columns="prompt_text", errors="ignore").iloc[:rows, :columns]
    cells = [[str(c) for c in head.columns], ["---"] * head.shape[1]]
    cells += [[str(value).replace("|", "/")[:40] for value in row] for row in head.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)
