"""The catalogue of public data sets: one YAML entry each, fetched by URL and checksum.

An entry says where the files are, what they weigh and hash to, under which licence they stand, whom
to cite, which reader understands them, what they are good for and what is wrong with them.
"""

from foretell.assets.catalog.entries import CatalogEntry, CatalogFile, list_entries, load_entry
from foretell.assets.catalog.fetching import fetch, provenance

__all__ = ["CatalogEntry", "CatalogFile", "fetch", "list_entries", "load_entry", "provenance"]
