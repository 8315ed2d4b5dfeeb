"""Fits as MLflow runs and registered versions: tracking, entry point, card, policy."""
