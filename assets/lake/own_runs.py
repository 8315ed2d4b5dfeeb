"""A user's finished runs as anchors: what they say of the level of their cells, and of the very queries asked about."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from foretell.assets.lake.traces.curation import curate
from foretell.assets.readers.core.messages import query_id_of_text
from foretell.assets.readers.reading import detect, read_traces
from foretell.predictors.base import BasePredictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

ANCHOR_COLUMNS = ("model", "benchmark", "reasoning_effort", "prompt_text", "input_tokens", "max_tokens")


def read_runs(files: Sequence[Path], *, price_file: Path | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The finished runs of logs that `ingest` reads, rows of `request_traces`, and a line per record that is none.

    Raises `InvalidInputError` if no run is left; names the first problem.
    """
    from foretell.predictors.thinking_tokens.prices.cost import price_requests

    parts, problems = [], []
    for file in files:
        if not file.is_file():
            raise InvalidInputError(f"{file}: no such file")
        if detect(file) is None:
            raise InvalidInputError(
                f"no finished run to learn from: {file}:1: no log of requests that is known; "
                "give what `foretell ingest` reads (docs/formats.md), such as lines of "
                '{"model": ..., "prompt_text": ..., "output_tokens": ...}'
            )
        read = read_traces(file)
        curated = curate(read.rows, price=partial(price_requests, price_file=price_file), rejects=read.rejects)
        parts.append(curated.traces[curated.traces["output_tokens"].notna()])
        problems += [f"{file}:{row.source_line}: {row.reason}; {row.remedy}" for row in curated.quarantine.itertuples()]
    runs = pd.concat(parts, ignore_index=True)
    if runs.empty:
        first = problems[0] if problems else f"{', '.join(map(str, files))}: no record has output tokens"
        raise InvalidInputError(f"no finished run to learn from: {first}")
    return runs, problems


def learn_from_runs(predictor: BasePredictor, runs: pd.DataFrame) -> ThinkingTokensPredictor:
    """A copy of `predictor` for which `runs` are anchors, all at once: their order does not matter.

    Runs have `model`, `output_tokens`, and where known other columns of `request_traces`. A benchmark says which work
    it is; without one the runs are of the work that is asked about. `source` is not read: who asks has none. Raises
    `InvalidInputError` if a column is missing, or the predictor learns from no single runs.
    """
    if not isinstance(predictor, ThinkingTokensPredictor):
        raise InvalidInputError(
            f"a {type(predictor).__name__} learns from no single runs; give a ThinkingTokensPredictor"
        )
    runs = as_runs(runs)
    anchors = attach_context(runs[[name for name in (*ANCHOR_COLUMNS, "query_id") if name in runs]], runs, pilots=False)
    censored = runs["is_censored"].astype(bool) if "is_censored" in runs else None
    return predictor.adapt(anchors, runs["output_tokens"].astype("float64"), is_censored=censored)


def with_runs_of_queries(requests: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Requests with the past runs of their very queries, whatever model they ran on."""
    asked = requests.assign(query_id=query_ids(requests, "requests"), model="")
    return attach_context(asked, as_runs(runs))


def as_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs that were finished, each with the query that it is of; one that names none is of a query of its own."""
    missing = {"model", "output_tokens"} - set(runs.columns)
    if missing:
        raise InvalidInputError(f"`runs` must have the columns model and output_tokens, lacks {sorted(missing)}")
    usable = runs[runs["output_tokens"].notna()].reset_index(drop=True)
    if usable.empty:
        raise InvalidInputError("`runs` holds no finished run: `output_tokens` is null in every row")
    own = pd.Series([f"run {place}" for place in range(len(usable))])
    if {"query_id", "prompt_text"} & set(usable.columns):
        ids = query_ids(usable, "runs")
        own = ids.where(ids.notna(), own)
    return usable.assign(query_id=own)


def query_ids(rows: pd.DataFrame, name: str) -> pd.Series:
    """The query of each row: its `query_id`, else by its text."""
    if not {"query_id", "prompt_text"} & set(rows.columns):
        raise InvalidInputError(f"`{name}` must have the column query_id or prompt_text to tell queries alike")
    nothing = pd.Series(None, index=rows.index, dtype=object)
    ids, texts = (rows.get(name, nothing).astype(object) for name in ("query_id", "prompt_text"))
    of_text = {text: query_id_of_text(text) for text in texts.dropna().unique()}
    return ids.where(ids.notna(), texts.map(of_text))
