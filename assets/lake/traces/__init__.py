"""`request_traces`: curated, checked, whole across days."""
