"""What follows from errors: comparisons, rankings, promotion, drift, power."""
