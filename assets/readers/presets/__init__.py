"""Column maps of tables that people export, one YAML file each; `foretell.assets.readers.traces.tabular` reads them."""
