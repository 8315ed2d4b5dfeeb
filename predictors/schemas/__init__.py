"""The contracts of every canonical table, as pandera models. One file per table family."""

import pandera.api.pandas.model as schema_model
from pandera.typing import Index, Series

# Pandera imports dask where it is installed to know whether a column is dask's: half a second before the first schema.
schema_model.get_index_types = lambda: {Index}  # type: ignore[assignment, attr-defined]
schema_model.get_series_types = lambda: {Series}  # type: ignore[assignment, attr-defined]

from .evaluation import Evaluation, as_evaluation
from .requests import Requests
from .traces import RequestTraces

__all__ = ["Evaluation", "RequestTraces", "Requests", "as_evaluation"]
