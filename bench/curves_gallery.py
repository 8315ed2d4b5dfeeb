"""Whole curves beside their examples, and the picture of twelve of them with the forecasts made at 40 %."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.families.learning_curves.family import FAMILY
from foretell.assets.store.sources import Sources, read_public
from foretell.predictors.learning_curves.forecaster import CurveForecaster

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
N_SHOWN = 12


def whole_curves(sources: Sources, examples: pd.DataFrame) -> pd.DataFrame:
    """Steps, values, 5-95 % range and last value of the whole curve of each example, in the metric's unit."""
    table = read_public(sources.public, "training_curves")
    groups = {f"{c}/{m}": part for (c, m), part in table.groupby(["curve_id", "metric"])}
    rows = []
    for cell in examples.index:
        part = groups[cell.rsplit("/", 1)[0]]
        values = part["value"].to_numpy(dtype=np.float64)
        width = float(np.subtract(*np.quantile(values, [0.95, 0.05])))
        rows.append({"steps": part["step"].tolist(), "values": values.tolist(), "width": width, "raw": values[-1]})
    return pd.DataFrame(rows, index=examples.index)


def draw(shown: Sequence[tuple[CurveForecaster, pd.DataFrame]], whole: pd.DataFrame, path: Path) -> None:
    """Draw the curves, the 50 and 90 % bands from 40 % on and what came after."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 4, figsize=(15, 9), layout="constrained")
    cells = [(model, rows.loc[[cell]]) for model, rows in shown for cell in rows.index]
    cells = [*cells[::2], *cells[1::2]][:N_SHOWN]
    for ax, (model, row) in zip(axes.flat, cells, strict=False):
        first = row.iloc[0]
        curve = whole.loc[row.index[0]]
        last, end = first["steps"][-1], first["target_step"]
        steps = np.linspace(last, end, 25)[1:]
        asked = row.loc[row.index.repeat(len(steps))].assign(target_step=steps).reset_index(drop=True)
        bands = model.predict_quantiles(FAMILY.inputs(asked), LEVELS).to_numpy() * curve["width"]
        ax.fill_between(steps, bands[:, 0], bands[:, 4], color="#9ecae1", alpha=0.6, label="90 %")
        ax.fill_between(steps, bands[:, 1], bands[:, 3], color="#4292c6", alpha=0.5, label="50 %")
        ax.plot(steps, bands[:, 2], color="#08519c", label="median")
        seen = np.asarray(curve["steps"]) <= last
        x, y = np.asarray(curve["steps"]), np.asarray(curve["values"])
        ax.plot(x[seen], y[seen], "k.-", markersize=4, label="observed")
        ax.plot(x[~seen], y[~seen], ".", color="#cb181d", markersize=5, label="what came")
        inside = np.r_[y[len(y) // 10 :], bands[-1]]
        gap = 0.1 * (inside.max() - inside.min())
        ax.set_ylim(inside.min() - gap, inside.max() + gap)
        ax.set_title(f"{first['dataset']}: {first['metric']}", fontsize=9)
        ax.locator_params(axis="x", nbins=5)
    axes.flat[0].legend(fontsize=8)
    figure.suptitle("Twelve training runs of workloads that the fit had not seen, forecast after 40 % of their points")
    figure.savefig(path, dpi=90)
    print(f"drawn: {path}")
