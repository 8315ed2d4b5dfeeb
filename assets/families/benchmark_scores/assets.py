"""The Dagster assets of the benchmark-score family alone: none beside those that every family has."""

from collections.abc import Sequence

import dagster as dg

ASSETS: Sequence[dg.AssetsDefinition] = []
