"""Columns at a time: the fast ways through lines with the same keys."""
