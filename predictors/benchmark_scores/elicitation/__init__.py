"""Forecasts that a language model is asked for: what it is told, how its answers are read, and what weight they get."""
