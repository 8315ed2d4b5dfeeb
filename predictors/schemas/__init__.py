"""The contracts of every canonical table, as pandera models. One file per table family."""

from predictors.schemas.evaluation import Evaluation, as_evaluation
from predictors.schemas.requests import Requests
from predictors.schemas.traces import RequestTraces

__all__ = ["Evaluation", "RequestTraces", "Requests", "as_evaluation"]
