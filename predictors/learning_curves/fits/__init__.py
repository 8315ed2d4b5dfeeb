"""Parametric fits of observed beginnings of curves."""
