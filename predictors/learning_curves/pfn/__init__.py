"""A prior-data fitted network for learning curves: trained on draws of a prior, never on real curves."""

from predictors.learning_curves.pfn.mixture import Mixture
from predictors.learning_curves.pfn.pretrained import WEIGHTS, PriorFittedNetwork
from predictors.learning_curves.pfn.prior import CurvePrior

__all__ = ["WEIGHTS", "CurvePrior", "Mixture", "PriorFittedNetwork"]
