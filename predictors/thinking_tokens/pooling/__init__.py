"""Partial pooling of log tokens over model, benchmark and effort."""
