"""Column maps of tables that people export, one YAML file each; `assets.readers.tabular` reads them."""
