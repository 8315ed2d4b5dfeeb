"""A prior-data fitted network for learning curves: trained on draws of a prior, never on real curves."""
