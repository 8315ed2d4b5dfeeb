"""A pilot: a few requests of a batch, drawn by design, sent under a limit of cost, kept for the bill."""
