"""Readers of benchmark scores."""
