"""Estimates from repeated runs with their intervals: clusters, sums of parts, segments, noise floors."""
