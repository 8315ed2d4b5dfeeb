"""What a version covers that the champion does not, from the examples of a night: the losses for `decide_scope`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import forecasts_by_cell
from foretell.assets.judging.vault import usable
from foretell.assets.registry.policy import Policy
from foretell.predictors.base import BasePredictor, Cell

if TYPE_CHECKING:
    from foretell.predictors.metrics import ScopeDecision


def judge_scope(
    family: Family, version: BasePredictor, champion: BasePredictor, examples: pd.DataFrame, policy: Policy
) -> ScopeDecision | None:
    """Whether a version becomes champion by what it covers.

    Only rows that are in no fit count: the test split, without those that were cut off or lie in the vault.

    Returns
    -------
    ScopeDecision or None
        None where the version has learnt from no cell that is new to the champion, where the champion was saved before
        cells were written down or names them otherwise, or where the version has forgotten a cell of the examples that
        the champion knows.
    """
    from foretell.predictors.metrics import ScopeLosses, decide_scope, query_losses

    fresh, familiar = version.known_cells, champion.known_cells
    if fresh is None or familiar is None or not fresh - familiar or version.scope_columns != champion.scope_columns:
        return None
    all_cells = set(version.cells(family.inputs(examples)))
    if (familiar & all_cells) - fresh:
        return None
    rows = examples[(examples["split"] == "test") & usable(examples)]
    cells = version.cells(family.inputs(rows))
    is_new = cells.isin(fresh - familiar)
    if not is_new.any():
        return None
    forecasts = forecasts_by_cell(family, {"version": version, "champion": champion}, rows)

    def losses(part: pd.DataFrame) -> NDArray[np.float64]:
        return query_losses(part, forecasts["version"], forecasts["champion"], metric=policy.metric, scale=family.scale)

    by_cell = {cell_name(cell): losses(rows[cells == cell]) for cell in sorted(set(cells[is_new]))}
    return decide_scope(ScopeLosses(by_cell, losses(rows[~is_new])), policy.scope_rule)


def cell_name(cell: Cell) -> str:
    """A cell in words, such as ``gpt-5 high``; what it leaves open is left out."""
    return " ".join(value for value in cell if value) or "(unnamed)"
