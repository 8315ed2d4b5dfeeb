"""The command line `foretell`."""
