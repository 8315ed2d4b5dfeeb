"""The canonical tables: landing, curation, contracts, warnings, rules across days, export."""
