"""Which tables, models and reports exist: Dagster assets, readers of foreign formats, public data."""
