"""What Dagster's pages show of a night: links into MLflow, numbers over time, small figures."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from foretell.assets.judging.pipeline import headline
from foretell.assets.registry.resource import Tracking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 72


def links(tracking: Tracking, row: dict[str, str | int | None]) -> dict[str, dg.MetadataValue]:
    """To the run and the version in MLflow's pages, where a server shows them."""
    if tracking.server is None:
        return {}
    family, address = str(row["uri"]).removeprefix("models:/").removesuffix("@champion"), tracking.server
    return {
        "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{row['experiment_id']}/runs/{row['run_id']}"),
        "mlflow_version": dg.MetadataValue.url(f"{address}/#/models/{family}/versions/{row['version']}"),
    }


def headline_of(table: pd.DataFrame, split: str) -> dict[str, dg.MetadataValue]:
    head = table[(table["segment"] == "all") & (table["split"] == split)]
    return numbers_of(headline(head[head["predictor"] == head["predictor"].iloc[0]]))


def numbers_of(values: dict[str, float]) -> dict[str, dg.MetadataValue]:
    """Numeric metadata is what the UI plots over time; NaN is left out rather than drawn as nothing."""
    return {key: dg.MetadataValue.float(value) for key, value in values.items() if pd.notna(value)}


def drawn(plot: Callable[[pd.DataFrame], Axes], table: pd.DataFrame, path: Path) -> dg.MetadataValue:
    """Save a figure and return it inline, as the UI shows it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = plot(table).get_figure(root=True)
    assert figure is not None
    # The event log keeps every picture of every night, so they are small. `savefig` would lay out and draw twice.
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(str(path))
    encoded = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")
