"""The canonical tables beside the traces."""
