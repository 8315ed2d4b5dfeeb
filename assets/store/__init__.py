"""Where tables, fits and data sets lie, and by which digests they are known."""
