"""What runs of a query, or of its model, that are known already say about the next."""
