"""Which tables, models and reports exist: Dagster assets, readers of foreign formats, public data."""

if __name__ == "assets":
    raise ImportError("`assets` has one name, `foretell.assets`: import it as that")
