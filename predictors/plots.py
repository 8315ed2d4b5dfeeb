"""Figures from the Evaluation table; the noise floor is a drawn band. The only module that imports matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_error_and_floor", "plot_noise_floor", "save_figure"]

FLOOR_COLOUR = "#9aa5b1"
ERROR_COLOUR = "#1f5fa8"
BASELINE_COLOUR = "#c4713b"


def _axes(ax: Axes | None, n_rows: int) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(8, 1.2 + 0.32 * n_rows), layout="constrained").add_subplot()


def save_figure(ax: Axes, path: Path, *, dpi: int = 110) -> Path:
    """Write the figure of `ax` as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = ax.get_figure()
    assert figure is not None
    figure.savefig(path, dpi=dpi)
    return path


def plot_error_and_floor(
    evaluation: pd.DataFrame, *, metric: str = "crps", split: str = "test", ax: Axes | None = None
) -> Axes:
    """Error of the predictor and its baseline by segment, next to the band of the noise floor.

    Parameters
    ----------
    evaluation : DataFrame
        Evaluation table; the first predictor of it is drawn.
    metric, split : str, optional
        Which rows to draw.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One line per segment; further left is better.
    """
    rows = evaluation[(evaluation["metric"] == metric) & (evaluation["split"] == split)]
    rows = rows[rows["predictor"] == rows["predictor"].iloc[0]].drop_duplicates("segment").iloc[::-1]
    place = np.arange(len(rows))
    ax = _axes(ax, len(rows))
    for y, row in zip(place, rows.itertuples(), strict=True):
        if np.isfinite(row.noise_floor):
            ax.fill_betweenx([y - 0.4, y + 0.4], row.floor_ci_lower, row.floor_ci_upper, color=FLOOR_COLOUR, alpha=0.45)
            ax.plot([row.noise_floor] * 2, [y - 0.4, y + 0.4], color=FLOOR_COLOUR, lw=2)
    spread = np.vstack([rows["value"] - rows["ci_lower"], rows["ci_upper"] - rows["value"]])
    ax.errorbar(rows["value"], place, xerr=spread, fmt="o", color=ERROR_COLOUR, label=str(rows["predictor"].iloc[0]))
    ax.plot(rows["baseline_value"], place, "D", mfc="none", color=BASELINE_COLOUR, label=str(rows["baseline"].iloc[0]))
    ax.fill_betweenx([], [], [], color=FLOOR_COLOUR, alpha=0.45, label="noise floor, 95 %")
    ax.set_yticks(place, rows["segment"])
    ax.set_xlabel(f"{metric} ({split} split, lower is better)")
    ax.set_xlim(left=0)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return ax


def plot_noise_floor(floors: pd.DataFrame, *, metric: str = "crps", ax: Axes | None = None) -> Axes:
    """The noise floor of every segment where one is known, with its 95 % interval.

    Parameters
    ----------
    floors : DataFrame
        Columns segment, metric, noise_floor, ci_lower, ci_upper.
    metric : str, optional
        Which rows to draw.
    ax : Axes, optional
        Where to draw; a new figure by default.
    """
    rows = floors[(floors["metric"] == metric) & floors["noise_floor"].notna()].iloc[::-1]
    place = np.arange(len(rows))
    ax = _axes(ax, max(1, len(rows)))
    ax.barh(place, rows["ci_upper"] - rows["ci_lower"], left=rows["ci_lower"], color=FLOOR_COLOUR, alpha=0.45)
    ax.plot(rows["noise_floor"], place, "|", color=ERROR_COLOUR, ms=14, mew=2)
    ax.set_yticks(place, rows["segment"])
    ax.set_xlabel(f"noise floor of {metric}, 95 % interval")
    if len(rows):
        ax.set_xlim(left=0)
    return ax
