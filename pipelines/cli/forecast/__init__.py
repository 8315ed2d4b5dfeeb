"""Commands that forecast: predict, quote, route, compute, next-runs."""
