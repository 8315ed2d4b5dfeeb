"""The downstream-scaling family in the lake."""
