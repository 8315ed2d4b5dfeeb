"""The benchmark-score family in the lake."""
