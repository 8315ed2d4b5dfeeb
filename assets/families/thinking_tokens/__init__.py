"""The thinking-token family in the lake."""
