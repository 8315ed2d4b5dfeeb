"""Thinking tokens and dollars: what requests will take on a model, before they are sent.

Import from the modules: `predictor`, `baselines`, `cost`, `prices`.
"""
