"""The run that a callback follows: its points so far, and whether to go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.predictors.learning_curves.forecaster import CurveForecaster

LEAST_POINTS = 4


@dataclass
class WatchedRun:
    """Points of one metric of a training, and what is forecast of them.

    Parameters
    ----------
    metric : str
        Name of the metric as the trainer logs it. Names with ``loss`` or ``error`` count as better when lower.
    target_value : float, optional
        What the run must beat, in the metric's unit; by default its last value.
    least_probability : float
        The run is to be stopped once it is less likely than this to end better than `target_value`.
    stops : bool
        Whether the trainer is told to stop; else the forecast is only kept in `forecasts`.

    Attributes
    ----------
    forecasts : list of dict
        One per point from the fourth on: ``step``, ``value``, ``median``, ``lower_90``, ``upper_90``,
        ``probability_better``, ``stop``.
    """

    metric: str
    target_value: float | None = None
    least_probability: float = 0.05
    stops: bool = True
    forecasts: list[dict[str, float | bool]] = field(default_factory=list)
    _points: dict[float, float] = field(default_factory=dict)
    _predictor: CurveForecaster | None = None

    def add(self, step: float, value: float, end: float) -> bool:
        """Take one more point of a run that ends at step `end`; returns whether to stop."""
        import pandas as pd

        from foretell.predictors.learning_curves.decisions import advise

        self._points[float(step)] = float(value)
        if len(self._points) < LEAST_POINTS or step >= end:
            return False
        if self._predictor is None:
            self._predictor = _served()
        steps = sorted(self._points)
        values = [self._points[s] for s in steps]
        asked = pd.DataFrame({"steps": [steps], "values": [values], "target_step": [float(end)],
                              "metric": [self.metric], "resource_unit": ["steps"]})  # fmt: skip
        goal = values[-1] if self.target_value is None else self.target_value
        advice = advise(self._predictor, asked, incumbent=goal, least_probability=self.least_probability).iloc[0]
        low, median, high = self._predictor.predict_quantiles(asked, (0.05, 0.5, 0.95)).iloc[0]
        self.forecasts.append({
            "step": steps[-1], "value": values[-1], "median": float(median), "lower_90": float(low),
            "upper_90": float(high), "probability_better": float(advice["probability_better"]),
            "stop": bool(advice["stop"]),
        })  # fmt: skip
        return self.stops and bool(advice["stop"])


def _served() -> CurveForecaster:
    from foretell import load
    from foretell.predictors.errors import DatasetError
    from foretell.predictors.learning_curves.forecaster import CurveForecaster

    served = load("learning_curves")
    if not isinstance(served, CurveForecaster):
        raise DatasetError(
            f"the champion of learning_curves is a {type(served).__name__}, which gives no probabilities"
        )
    return served
