"""Rates of models, and dollars from tokens."""
