"""Where a learning curve ends: a prior-data fitted network, a stack, and what to do about a run."""
