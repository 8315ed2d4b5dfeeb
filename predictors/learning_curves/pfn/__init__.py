"""A prior-data fitted network for learning curves: trained on draws of a prior, never on real curves."""

from .mixture import Mixture
from .pretrained import PriorFittedNetwork, weights_file

__all__ = ["Mixture", "PriorFittedNetwork", "weights_file"]
