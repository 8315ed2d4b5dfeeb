"""Forecasts where nothing was seen: another model, benchmark or source. What is not known is in the spread."""
