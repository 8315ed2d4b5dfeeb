"""How Dagster writes and reads the tables of assets."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.store.days import FIRST_DAY, last_day
from foretell.assets.store.io import write_table
from foretell.assets.store.lineage import column_lineage, origins
from foretell.assets.store.markdown import markdown
from foretell.predictors.errors import DatasetError

# The calendar ends with `last_day`, not with yesterday.
_DAYS_AHEAD = (last_day() - datetime.now(UTC).date()).days + 1
DAILY = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone="UTC", end_offset=_DAYS_AHEAD)
"""How tables are cut into days."""


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
        path = (path / context.asset_partition_key if context.has_asset_partitions else path).with_suffix(".parquet")
        write_table(obj, path)
        context.add_output_metadata(table_metadata(context.asset_key.to_user_string(), obj, path))

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Table:
        # An asset that takes a `Table` works on it part by part, wherever the engine is.
        table = self._table(context)
        return table if context.dagster_type.typing_type is Table else table.collect()

    def _table(self, context: dg.InputContext) -> Table:
        path = self._folder(context)
        if not context.has_asset_partitions:
            return Table((str(path.with_suffix(".parquet")),))
        # An unpartitioned consumer reads every day of the window; most days of a long calendar hold nothing.
        on_disk = {file.stem: file for file in sorted(path.glob("*.parquet"))}
        days = [day for day in context.asset_partition_keys if day in on_disk]
        if not days:
            raise DatasetError(f"{path}: no request has been ingested yet; run `foretell ingest PATH` first")
        if self.window_days is not None:
            first = (date.fromisoformat(days[-1]) - timedelta(days=self.window_days - 1)).isoformat()
            days = [day for day in days if day >= first]
        return Table(tuple(str(on_disk[day]) for day in days))

    def _folder(self, context: dg.InputContext | dg.OutputContext) -> Path:
        return Path(self.root).joinpath(*context.asset_key.path)


def table_metadata(name: str, table: pd.DataFrame, path: Path) -> dict[str, Any]:
    """What Dagster's pages show of a table that was written to `path`; `name` is that of its asset."""
    lineage = column_lineage(name, table.columns)
    return {
        **({} if lineage is None else {"dagster/column_lineage": lineage}),
        "dagster/row_count": len(table),
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(str(column), str(dtype), description=origins(lineage, str(column)))
                for column, dtype in table.dtypes.items()
            ]
        ),
        "path": dg.MetadataValue.path(str(path)),
        "size_bytes": path.stat().st_size,
        "preview": dg.MetadataValue.md(preview(table)),
    }


def preview(frame: pd.DataFrame) -> str:
    """A few rows as Markdown, without the text of prompts (which may be private)."""
    head = frame.drop(columns="prompt_text", errors="ignore").iloc[:5, :8]
    return markdown(head.map(lambda value: str(value)[:40]))
