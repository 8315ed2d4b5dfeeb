"""Dagster's and MLflow's pages, each behind the same guard: ``python -m foretell.pipelines.webservers NAME``."""
