"""Planning: how many items and repeats a comparison needs, and the cheapest way to split them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ...errors import InvalidInputError


@dataclass(frozen=True)
class DifferenceVariance:
    """Variance of a paired difference on one item, in its two parts, and the items and runs that it is estimated from.

    `between` items only more items help; it may be negative by chance. `within` an item more runs help as well; NaN
    where nothing was repeated.
    """

    between: float
    within: float
    n_cells: int = 0
    n_replicates: int = 0

    def of_mean(self, replicates: int) -> float:
        """Variance of the difference of one item at `replicates` runs of each of the two."""
        return max(self.between, 0.0) + self.within / replicates


def required_queries(effect: float, variance: DifferenceVariance, replicates: int = 1, *, power: float = 0.8) -> int:
    """Items that find a difference of `effect` with probability `power` in a two-sided t test at 5 %.

    ``((z_a + z_b) sd / effect)^2 + z_a^2 / 2``, of which the last term is for the estimated variance (Guenther 1981).
    `effect` is the true difference, in the unit of the score or loss, and `replicates` the runs per item.

    >>> required_queries(0.5, DifferenceVariance(0.5, 0.5))
    34
    """
    if not effect > 0 or replicates < 1:
        raise InvalidInputError(f"`effect` must be > 0 and `replicates` >= 1, got {effect} and {replicates}")
    z_size = float(stats.norm.ppf(0.975))
    z = z_size + float(stats.norm.ppf(power))
    return max(2, int(np.ceil(z**2 * variance.of_mean(replicates) / effect**2 + z_size**2 / 2 - 1e-9)))


def plan_items(
    effects: Sequence[float],
    variance: DifferenceVariance,
    *,
    cost_per_item: float = 0.0,
    cost_per_run: float = 1.0,
    power: float = 0.8,
    design_effect: float = 1.0,
    replicates: Sequence[int] = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20),
) -> pd.DataFrame:
    """Items for each effect and number of repeats, what they cost, and which split is cheapest.

    The optimum is near ``sqrt(within / between * cost_per_item / cost_per_run)`` (Cochran 1977, section 10.6).

    `effects` are true differences to find, in the unit of the score; `cost_per_item` what an item costs once, such as
    its labels, `cost_per_run` one run of it on both systems together, in any one unit; `design_effect` by how much
    clusters inflate the variance. Columns `effect`, `replicates`, `n_items`, `n_runs` (of each system), `cost`,
    `is_cheapest` (of its effect).
    """
    if np.isnan(variance.within) or np.isnan(variance.between):
        raise InvalidInputError("`variance` must be known in both parts: give runs that repeat items, or the numbers")
    if min(cost_per_item, cost_per_run) < 0 or cost_per_item + cost_per_run <= 0:
        raise InvalidInputError(f"costs must be >= 0 and not all 0, got {cost_per_item} and {cost_per_run}")
    scaled = DifferenceVariance(design_effect * max(variance.between, 0.0), design_effect * variance.within)
    rows = []
    for effect in effects:
        for r in replicates:
            n = required_queries(effect, scaled, r, power=power)
            cost = n * (cost_per_item + r * cost_per_run)
            rows.append({"effect": effect, "replicates": r, "n_items": n, "n_runs": n * r, "cost": cost})
    table = pd.DataFrame(rows)
    table["is_cheapest"] = table.index.isin(table.groupby("effect")["cost"].idxmin())
    return table
