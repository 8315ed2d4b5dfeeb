"""What happens every night: assets of a family, window, drift, promotion and its record."""
