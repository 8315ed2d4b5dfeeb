"""What Dagster's pages show of a night: links into MLflow, numbers over time, small figures."""

import base64
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import headline
from foretell.assets.nightly.drift import RESETTING, InputShift
from foretell.assets.registry.resource import Tracking
from foretell.assets.resources import Workspace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 72
DRAWN_NIGHTS = 120
DRIFT_CHECKS = {
    "forecast_holds": "The champion's excess error is what it was: no refit is asked for.",
    "noise_holds": "The noise floor is what it was: intervals need no new calibration.",
    "inputs_hold": "Requests look like those before: no column moved far beyond what sampling explains.",
}


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


def drawn(
    plot: "Callable[[pd.DataFrame], Axes]", table: pd.DataFrame, workspace: Workspace, name: str
) -> dg.MetadataValue:
    """Save a figure under its name among the reports and return it inline, as the UI shows it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = workspace.root / "reports" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = plot(table).get_figure(root=True)
    assert figure is not None
    # The event log keeps every picture of every night, so they are small. `savefig` would lay out and draw twice.
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(str(path))
    encoded = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")


def drift_metadata(history: pd.DataFrame) -> dict[str, Any]:
    """Facts and numbers of the newest night."""
    if history.empty:
        return {"verdict": "no night yet"}
    last = history.iloc[-1]
    numbers = {name: float(last[name]) for name in ("excess", "floor", "psi")}
    facts = {"verdict": str(last["verdict"]), "night": str(last["night"]), "champion": str(last["champion"])}
    return {**facts, **numbers_of(numbers), "training_since": str(last["since"]) or "the whole window"}


def drift_checks(family: Family, history: pd.DataFrame, workspace: Workspace) -> list[dg.AssetCheckResult]:
    """Three warnings, each with the nights drawn; they pass before the first night."""
    from foretell.predictors.plots.evaluations import plot_drift

    last = None if history.empty else history.iloc[-1]
    verdict = "ok" if last is None else str(last["verdict"])
    checks = {
        "forecast_holds": ("excess", verdict not in RESETTING),
        "noise_holds": ("floor", verdict not in ("noise moved", "ambiguous")),
        "inputs_hold": ("psi", last is None or not InputShift(last["psi"], "", last["psi_p_value"]).is_large),
    }
    results = []
    for name, (column, passed) in checks.items():
        metadata: dict[str, Any] = {"nights": len(history), "verdict": verdict}
        if last is not None:
            nights, file = history.tail(DRAWN_NIGHTS), f"{family.name}_drift_{column}"
            plot = drawn(partial(plot_drift, column=column), nights, workspace, file)
            metadata |= {"column": str(last["psi_column"]), "plot": plot}
        results.append(
            dg.AssetCheckResult(
                check_name=name,
                asset_key=f"{family.name}_drift",
                passed=bool(passed),
                severity=dg.AssetCheckSeverity.WARN,
                metadata=metadata,
            )
        )
    return results
