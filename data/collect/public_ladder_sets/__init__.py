"""Readers of public ladders, from which `public_ladders` makes the figures that ship."""
