"""Laws from compute, size, data or loss to a score."""
