"""Where forecasts meet outcomes: errors beside their noise floors, with intervals over queries."""

from predictors.metrics.clusters import Estimate, mean_estimate, ratio_estimate, wilson_interval
from predictors.metrics.comparison import Comparison, compare, sign_flip_p_value
from predictors.metrics.evaluate import DEFAULT_METRICS, evaluate
from predictors.metrics.noise_floor import NoiseFloor, crps_floor, mae_floor, mse_floor, pinball_floor
from predictors.metrics.point import absolute_error, log_loss, squared_error
from predictors.metrics.quantile import crps_quantiles, interval_score, level_weights, pinball_loss
from predictors.metrics.replicates import check_straddling, duplicated_runs

__all__ = [
    "DEFAULT_METRICS",
    "Comparison",
    "Estimate",
    "NoiseFloor",
    "absolute_error",
    "check_straddling",
    "compare",
    "crps_floor",
    "crps_quantiles",
    "duplicated_runs",
    "evaluate",
    "interval_score",
    "level_weights",
    "log_loss",
    "mae_floor",
    "mean_estimate",
    "mse_floor",
    "pinball_floor",
    "pinball_loss",
    "ratio_estimate",
    "sign_flip_p_value",
    "squared_error",
    "wilson_interval",
]
