"""What a text says about the answer it will get: statistics, terms, settings."""
