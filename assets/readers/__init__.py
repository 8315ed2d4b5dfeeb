"""Readers: foreign formats -> raw canonical rows. Pure functions; see docs/formats.md."""
