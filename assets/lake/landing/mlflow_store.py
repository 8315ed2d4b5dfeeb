"""Traces and runs of a live MLflow store, as the JSON lines that `mlflow_traces` and `mlflow_runs` understand."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from foretell.predictors.errors import DatasetError

PREFIX = "mlflow-traces:"
FORMER_PREFIX = "mlflow:"
"""What `PREFIX` was; an experiment followed ``#`` then. It goes away with the next version."""
RUNS_PREFIX = "mlflow-runs:"
PAGE = 100


def split_address(address: str) -> tuple[str, str | None]:
    """Tracking URI and experiment of ``mlflow-traces:URI[/EXPERIMENT]`` or ``mlflow-runs:URI[/EXPERIMENT]``.

    Without an experiment, all of them. Of ``sqlite:`` the file ends the URI; ``#`` ends any.

    Examples
    --------
    >>> split_address("mlflow-runs:http://localhost:5000/pretraining")
    ('http://localhost:5000', 'pretraining')
    >>> split_address("mlflow-traces:sqlite:////data/mlflow.db")
    ('sqlite:////data/mlflow.db', None)
    >>> split_address("mlflow-traces:http://localhost:5000#chat/2")
    ('http://localhost:5000', 'chat/2')
    """
    text = re.sub(r"^mlflow(-traces|-runs)?:", "", address)
    pattern = (
        r"(sqlite:///.*?\.(?:db|sqlite3?))(?:[/#](.+))?"
        if text.startswith("sqlite:")
        else r"(\w+://[^/#]+)(?:[/#](.*))?"
    )
    match = re.fullmatch(pattern, text) or re.fullmatch(r"([^#]*)#(.*)", text)
    return (text, None) if match is None else (match[1], match[2] or None)


def export_mlflow_traces(address: str, file: Path) -> int:
    """Write every trace of a store (`split_address`) to `file`, one a line, and return their number.

    Raises `DatasetError` if the store cannot be reached, has no such experiment, or holds no trace.
    """
    n_traces = 0
    with _store(address) as (client, experiments), file.open("w", encoding="utf-8") as out:
        # In the order of time, so that a longer export of the same store begins with the shorter one.
        search = partial(client.search_traces, max_results=PAGE, order_by=["timestamp_ms ASC"])
        for trace in _pages(lambda token: search(locations=list(experiments), page_token=token)):
            out.write(trace.to_json() + "\n")
            n_traces += 1
    if not n_traces:
        raise DatasetError(f"{address}: the store holds no trace; is it the store that your application logs to?")
    return n_traces


@contextmanager
def _store(address: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Client of a store and its experiments, id -> name; one that cannot be read is one line, whatever is raised."""
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    uri, experiment = split_address(address)
    # A store that is down is said within seconds; MLflow's own default is minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        # MLflow would make an empty store here.
        raise DatasetError(f"{address}: no such file; give the database that the MLflow server writes to")
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        names = {found.experiment_id: found.name for found in client.search_experiments()}
        if experiment is not None and experiment not in names.values():
            raise DatasetError(f"{address}: no experiment {experiment!r}; there is {', '.join(sorted(names.values()))}")
        yield client, {key: name for key, name in names.items() if experiment in (None, name)}
    except DatasetError:  # is an OSError too, and says what it has to say
        raise
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        first = str(error).splitlines()[0][:160]
        raise DatasetError(f"{address}: the MLflow store cannot be read ({first}); is the server up?") from error


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def export_mlflow_runs(address: str, file: Path, since: str | None = None) -> tuple[int, int, str]:
    """Write the runs of a store that are new or have gone on, a line each with the history of every metric.

    Returns the numbers of all and of written runs, and as JSON a hash of the state and the last values of each; given
    that as `since`, the next export leaves out what has not changed. Raises `DatasetError` if the store cannot be
    reached, has no such experiment, or holds no run.
    """
    seen: dict[str, str] = json.loads(since) if since else {}
    n_runs = n_written = 0
    with _store(address) as (client, names), file.open("wb") as out:
        params: dict[str, dict[str, str]] = {}
        search = partial(client.search_runs, max_results=PAGE, order_by=["attributes.start_time ASC"])
        for run in _pages(lambda token: search(list(names), page_token=token)):
            n_runs += 1
            # An unfinished run has other last values when it has gone on.
            facts = json.dumps([run.info.status, run.info.end_time, sorted(run.data.metrics.items())])
            state = hashlib.sha256(facts.encode()).hexdigest()[:16]
            if seen.get(run.info.run_id) == state:
                continue
            parent = run.data.tags.get("mlflow.parentRunId")
            if parent is not None and parent not in params:
                params[parent] = dict(client.get_run(parent).data.params)
            history = {name: _history(client, run.info.run_id, name) for name in sorted(run.data.metrics)}
            out.write(orjson.dumps({
                "mlflow_run": run.info.run_id, "name": run.info.run_name, "experiment": names[run.info.experiment_id],
                "status": run.info.status, "start_time": run.info.start_time, "params": run.data.params,
                "tags": run.data.tags, "parent_params": params.get(parent or "", {}), "history": history,
            }) + b"\n")  # fmt: skip
            seen[run.info.run_id] = state
            n_written += 1
    if not n_runs:
        raise DatasetError(f"{address}: the store holds no run; is it the store that your training logs to?")
    return n_runs, n_written, json.dumps(seen)


def _history(client: Any, run_id: str, metric: str) -> list[list[Any]]:
    """Step, value and time in ms of every point; of points logged twice for a step the latest."""
    points = sorted(client.get_metric_history(run_id, metric), key=lambda p: (p.step, p.timestamp))
    return list({p.step: [p.step, p.value, p.timestamp] for p in points}.values())
