"""Where forecasts meet outcomes: errors beside their noise floors, with intervals over queries.

All that is public is imported from here, by its name alone: ``from foretell.predictors.metrics import evaluate``. A
module is loaded when a name of it is first asked for, so a promotion rule does not wait for the evaluator. Families,
which may estimate but not judge, import from `estimates`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .deciding.comparison import compare, query_losses, sign_flip_p_value
    from .deciding.drift import CusumMonitor, DriftMonitor, Night, night_statistics
    from .deciding.evals import (
        compare_systems,
        difference_variance,
        holm,
        interquartile_mean,
        rank_intervals,
        sentence,
        summarise_systems,
    )
    from .deciding.power import DifferenceVariance, plan_items, required_queries
    from .deciding.promotion import NightlyLosses, PromotionDecision, PromotionRule, PromotionState, decide
    from .deciding.rankings import CostOfPass, ReversalReport, frontier_membership, query_cost_of_pass, rank_reversals
    from .deciding.scope import ScopeDecision, ScopeLosses, ScopeRule, decide_scope
    from .estimates.cell_sums import CellSums
    from .estimates.clusters import Estimate, mean_estimate, ratio_estimate, wilson_interval
    from .estimates.noise_floor import CRPS_FLOOR, MAE_FLOOR, MSE_FLOOR, NoiseFloor, floor_sums, noise_floor
    from .estimates.pass_at_k import pass_at_k, pass_hat_k
    from .estimates.replicates import Replicates, Scale, duplicated_runs, group_replicates
    from .estimates.sums import ClusterSums
    from .evaluation import DEFAULT_METRICS, PartialEvaluation, evaluate, partial_evaluation
    from .losses.quantile import crps_quantiles, interval_score, level_weights, log_loss, pinball_loss
    from .segments import count_segments, told_segments

_NAMES = {
    "evaluation": "DEFAULT_METRICS PartialEvaluation evaluate partial_evaluation",
    "deciding.comparison": "compare query_losses sign_flip_p_value",
    "deciding.drift": "CusumMonitor DriftMonitor Night night_statistics",
    "deciding.evals": "compare_systems difference_variance holm interquartile_mean rank_intervals sentence "
    "summarise_systems",
    "deciding.power": "DifferenceVariance plan_items required_queries",
    "deciding.promotion": "NightlyLosses PromotionDecision PromotionRule PromotionState decide",
    "deciding.rankings": "CostOfPass ReversalReport frontier_membership query_cost_of_pass rank_reversals",
    "deciding.scope": "ScopeDecision ScopeLosses ScopeRule decide_scope",
    "estimates.cell_sums": "CellSums",
    "estimates.clusters": "Estimate mean_estimate ratio_estimate wilson_interval",
    "estimates.noise_floor": "CRPS_FLOOR MAE_FLOOR MSE_FLOOR NoiseFloor floor_sums noise_floor",
    "estimates.pass_at_k": "pass_at_k pass_hat_k",
    "estimates.replicates": "Replicates Scale duplicated_runs group_replicates",
    "estimates.sums": "ClusterSums",
    "segments": "count_segments told_segments",
    "losses.quantile": "crps_quantiles interval_score level_weights log_loss pinball_loss",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
