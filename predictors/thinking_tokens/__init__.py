"""Thinking tokens and dollars: what requests will take on a model, before they are sent.

Import from the modules: `predictor`, `baselines`; `bill` for totals and routing, `prices` for rates and costs.
"""
