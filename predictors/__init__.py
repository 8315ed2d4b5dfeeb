"""Foretell's library: forecasts of cost and score, and the noise floor they are judged against.

Nothing here imports an orchestrator, a tracking server or a data-versioning tool; this package is
what a registered model carries with it.
"""

if __name__ == "predictors":
    raise ImportError("`predictors` has one name, `foretell.predictors`: import it as that")
