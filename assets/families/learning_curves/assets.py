"""The Dagster assets of the learning-curve family alone."""

from foretell.assets.families.learning_curves.network import learning_curve_network

ASSETS = [learning_curve_network]
