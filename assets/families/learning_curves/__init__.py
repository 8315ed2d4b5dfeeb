"""The learning-curve family in the lake."""
