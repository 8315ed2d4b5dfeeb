"""Readers of learning curves."""
