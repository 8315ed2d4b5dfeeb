"""Commands that judge: evaluate, floor, report."""
