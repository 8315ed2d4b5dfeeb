"""What a model will score on a benchmark that is only described in words."""
