"""Where forecasts meet outcomes: errors beside their noise floors, with intervals over queries."""

from predictors.metrics.aggregates import interquartile_mean, probability_of_improvement
from predictors.metrics.calibration import (
    coverage_by_group,
    pit_histogram,
    pit_values,
    probability_reliability,
    quantile_reliability,
    width_ratio,
)
from predictors.metrics.ceilings import RankCeiling, rank_ceiling
from predictors.metrics.clusters import Estimate, mean_estimate, ratio_estimate, wilson_interval
from predictors.metrics.comparison import Comparison, compare, query_differences, sign_flip_p_value
from predictors.metrics.drift import AdwinMonitor, CusumMonitor, DriftMonitor, night_statistics
from predictors.metrics.evaluate import DEFAULT_METRICS, evaluate
from predictors.metrics.floor_models import (
    error_upper_bound,
    fit_gamma_model,
    modelled_floor,
    shrink_variances,
    split_error,
)
from predictors.metrics.holdout_rules import Ladder, Thresholdout
from predictors.metrics.noise_floor import NoiseFloor, crps_floor, mae_floor, mse_floor, pinball_floor
from predictors.metrics.point import absolute_error, log_loss, squared_error
from predictors.metrics.power import DifferenceVariance, difference_variance, power_table, required_queries
from predictors.metrics.promotion import NightlyLosses, PromotionDecision, PromotionRule, PromotionState, decide
from predictors.metrics.quantile import crps_quantiles, interval_score, level_weights, pinball_loss
from predictors.metrics.rankings import (
    CostOfPass,
    ReversalReport,
    cost_of_pass,
    frontier_membership,
    published_reversals,
    query_cost_of_pass,
    rank_reversals,
)
from predictors.metrics.replicates import check_straddling, duplicated_runs
from predictors.metrics.score_floors import ScoreFloor, curve_endpoint_floor, log_loss_floor, score_floor

__all__ = [
    "DEFAULT_METRICS",
    "AdwinMonitor",
    "Comparison",
    "CostOfPass",
    "CusumMonitor",
    "DifferenceVariance",
    "DriftMonitor",
    "Estimate",
    "Ladder",
    "NightlyLosses",
    "NoiseFloor",
    "PromotionDecision",
    "PromotionRule",
    "PromotionState",
    "RankCeiling",
    "ReversalReport",
    "ScoreFloor",
    "Thresholdout",
    "absolute_error",
    "check_straddling",
    "compare",
    "cost_of_pass",
    "coverage_by_group",
    "crps_floor",
    "crps_quantiles",
    "curve_endpoint_floor",
    "decide",
    "difference_variance",
    "duplicated_runs",
    "error_upper_bound",
    "evaluate",
    "fit_gamma_model",
    "frontier_membership",
    "interquartile_mean",
    "interval_score",
    "level_weights",
    "log_loss",
    "log_loss_floor",
    "mae_floor",
    "mean_estimate",
    "modelled_floor",
    "mse_floor",
    "night_statistics",
    "pinball_floor",
    "pinball_loss",
    "pit_histogram",
    "pit_values",
    "power_table",
    "probability_of_improvement",
    "probability_reliability",
    "published_reversals",
    "quantile_reliability",
    "query_cost_of_pass",
    "query_differences",
    "rank_ceiling",
    "rank_reversals",
    "ratio_estimate",
    "required_queries",
    "score_floor",
    "shrink_variances",
    "sign_flip_p_value",
    "split_error",
    "squared_error",
    "width_ratio",
    "wilson_interval",
]
