"""Commands about data: ingest, fetch, export, sql."""
