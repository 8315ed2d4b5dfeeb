"""The quantile heads of a forecast: boosters, pooled curves, calibration, and what cut-off runs say."""
