"""Downstream scaling: a task's score at a larger compute from a ladder of small models."""
