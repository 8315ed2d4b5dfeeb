"""Readers of public data sets with a form of their own."""
