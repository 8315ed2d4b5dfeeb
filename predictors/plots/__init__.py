"""Figures, drawn from tables that were computed elsewhere."""
