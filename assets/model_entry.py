"""What MLflow runs to serve a registered predictor (models from code: no pickle anywhere).

This file and the package `predictors` travel with the model; nothing else of the project does, so it
imports nothing else. A consumer needs `mlflow` and the model's own pinned requirements.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class RegisteredForecaster(PythonModel):
    """Forecasts from a frame: one row per request, columns of the model's signature."""

    def load_context(self, context: PythonModelContext) -> None:
        from predictors.base import load_predictor

        self.predictor = load_predictor(context.artifacts["predictor"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Mean, median, intervals and, where a price is known, dollars; the index of the input is kept."""
        from predictors.serving import forecast_frame

        return forecast_frame(self.predictor, model_input)


mlflow.models.set_model(RegisteredForecaster())
