"""Losses of forecasts against outcomes, per row and per cell."""
