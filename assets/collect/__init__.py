"""Data that this project measures itself."""
