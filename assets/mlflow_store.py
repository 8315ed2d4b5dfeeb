"""Traces of a live MLflow store, as the JSON lines that the reader ``mlflow_traces`` understands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from predictors.errors import DatasetError

__all__ = ["PREFIX", "export_mlflow_traces", "split_address"]

PREFIX = "mlflow:"
PAGE = 100


def split_address(address: str) -> tuple[str, str | None]:
    """Tracking URI and experiment of ``mlflow:URI#EXPERIMENT``; without an experiment, all of them.

    Examples
    --------
    >>> split_address("mlflow:http://localhost:5000#chat")
    ('http://localhost:5000', 'chat')
    >>> split_address("mlflow:sqlite:///mlflow.db")
    ('sqlite:///mlflow.db', None)
    """
    uri, _, experiment = address.removeprefix(PREFIX).partition("#")
    return uri, experiment or None


def export_mlflow_traces(address: str, file: Path) -> int:
    """Write every trace of a store to `file`, one a line, and return their number.

    Parameters
    ----------
    address : str
        See `split_address`.
    file : Path
        JSON lines to write.

    Raises
    ------
    DatasetError
        If the store cannot be reached, has no such experiment, or holds no trace.
    """
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    # A store that is down is said within seconds; MLflow's own default is minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    uri, experiment = split_address(address)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        # MLflow would make an empty store here.
        raise DatasetError(f"{address}: no such file; give the database that the MLflow server writes to")
    n_traces = 0
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        ids = _experiments(client, address, experiment)
        with file.open("w", encoding="utf-8") as out:
            for line in _traces(client, ids):
                out.write(line + "\n")
                n_traces += 1
    except DatasetError:  # is an OSError too, and says what it has to say
        raise
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        first = str(error).splitlines()[0][:160]
        raise DatasetError(f"{address}: the MLflow store cannot be read ({first}); is the server up?") from error
    if not n_traces:
        raise DatasetError(f"{address}: the store holds no trace; is it the store that your application logs to?")
    return n_traces


def _experiments(client: object, address: str, name: str | None) -> list[str]:
    import mlflow

    assert isinstance(client, mlflow.MlflowClient)
    found = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
    if name is None:
        return list(found.values())
    if name not in found:
        raise DatasetError(f"{address}: no experiment {name!r}; there is {', '.join(sorted(found))}")
    return [found[name]]


def _traces(client: object, experiments: list[str]) -> Iterator[str]:
    import mlflow

    assert isinstance(client, mlflow.MlflowClient)
    token: str | None = None
    while True:
        # In the order of time, so that a longer export of the same store begins with the shorter one.
        page = client.search_traces(
            locations=experiments, max_results=PAGE, order_by=["timestamp_ms ASC"], page_token=token
        )
        yield from (trace.to_json() for trace in page)
        token = page.token
        if not token:
            return
