"""`request_traces` -> one row per run to learn from or be judged on, part by part; and the data sets by name."""

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import pandas as pd

from foretell.assets.engine import Engine, Part, Table, current_engine, read_part
from foretell.assets.engine.tables import stacked
from foretell.assets.judging.family import LAKE
from foretell.assets.lake.datasets import PUBLIC, TRACE_DATASETS, load_traces
from foretell.assets.lake.traces.across_days import AcrossDays, rules_across_days, whole_traces
from foretell.assets.store.sources import Sources
from foretell.predictors.errors import DatasetError
from foretell.predictors.splits import assign_split

DATASETS = (*TRACE_DATASETS, LAKE)

MOSTLY_CENSORED = 0.2
CELL = ["query_id", "model", "config_hash"]
GROUP = ["model", "benchmark", "reasoning_effort"]
ORDER = [*CELL, "started_at", "source", "request_id"]
READ = [
    *ORDER, "provider", "benchmark", "reasoning_effort", "temperature", "top_p", "max_tokens", "input_tokens",
    "prompt_text", "output_tokens", "reasoning_tokens", "score", "is_censored", "repeat_prob",
]  # fmt: skip
COLUMNS = [
    "cell_id", "query_id", "replicate", "split", "value", "is_censored", "is_capped", "repeat_prob", "started_at",
    "source", "provider", "model", "benchmark", "reasoning_effort", "temperature", "top_p", "max_tokens",
    "input_tokens", "prompt_text", "run_reasoning_tokens", "run_score",
]  # fmt: skip


_Job: TypeAlias = tuple[int, Part, AcrossDays]
"""A part, its position in the table, and what the other parts say about it."""


def token_examples(traces: Table, learn_rows: int | None = None, *, engine: Engine | None = None) -> pd.DataFrame:
    """One row per run.

    `value` is the output tokens, of which an empty answer counts as 1 because errors are taken on the
    log scale. `cell_id` names the runs that share one forecast: a query on a model and configuration.
    `is_capped` marks the groups (model, benchmark, effort) of which more than a fifth of the runs were cut off.
    Keys and replicates follow `foretell.assets.lake.traces.across_days`, because a query may come back on another day.
    `run_reasoning_tokens` and `run_score` are outcomes like `value`: what a fit may learn from, and no forecast reads.

    Of more runs than about `learn_rows`, those of some queries are kept: drawn by a hash of the query, all runs of one
    together. Replicates and `is_capped` still rest on all. The text of a prompt stays in its part, wherever the engine
    is, until the rows come back.
    """
    engine = (engine or current_engine()).over(traces)
    share = 1.0 if learn_rows is None else min(1.0, learn_rows / max(traces.n_rows, 1))
    rules = rules_across_days(traces, engine, share=share)
    jobs = [(position, part, rules.of_part(position)) for position, part in enumerate(traces.parts)]
    groups = stacked(engine.map(_censored, jobs)).groupby(GROUP, dropna=False)
    counts = groups[["censored", "runs"]].sum().reset_index()
    capped = counts.loc[counts["censored"] / counts["runs"] > MOSTLY_CENSORED, GROUP]
    whole = stacked(engine.map(partial(_examples_of_part, capped=capped), jobs))
    return whole.sort_values(ORDER, kind="stable", ignore_index=True)[COLUMNS]


def examples_from_traces(traces: pd.DataFrame) -> pd.DataFrame:
    """`token_examples` of traces that are in memory."""
    return token_examples(Table((traces,)), engine=Engine())


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """`token_examples` of a named data set."""
    if dataset == PUBLIC:
        return public_examples()
    if dataset == LAKE:
        return token_examples(lake_traces(sources))
    return examples_from_traces(traces_of_dataset(dataset, sources))


def public_examples(tiers: Sequence[str] = ("measured",)) -> pd.DataFrame:
    """One row per run of the public figures whose tokens were counted so, in the columns of `token_examples`."""
    from foretell.predictors.thinking_tokens.prices.cost import CHARACTERS_PER_TOKEN
    from foretell.predictors.thinking_tokens.shift.public import public_runs

    runs = public_runs(tiers).rename(columns={"reasoning_tokens": "run_reasoning_tokens", "score": "run_score"})
    runs["query_id"] = runs["source"] + "/" + runs["benchmark"] + "/" + runs["item"]
    runs["cell_id"] = runs["query_id"] + "|" + runs["model"] + "|" + runs["reasoning_effort"]
    group = runs.groupby(["source", *GROUP])
    return runs.assign(
        replicate=runs.groupby("cell_id").cumcount(),
        split=assign_split(runs["query_id"]),
        value=runs["output_tokens"].astype("float64"),
        is_capped=group["is_censored"].transform("mean") > MOSTLY_CENSORED,
        repeat_prob=float("nan"),
        run_reasoning_tokens=runs["run_reasoning_tokens"].astype("float64"),
        run_score=runs["run_score"].astype("float64"),
        # An agent's input grows with its turns, which nobody knows before: the prompt does not.
        input_tokens=(runs["prompt_chars"] / CHARACTERS_PER_TOKEN).fillna(runs["input_tokens"]).astype("float64"),
    ).reindex(columns=[name for name in COLUMNS if name not in ("provider", "temperature", "top_p", "max_tokens")])


def traces_of_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """The curated traces of a data set.

    Raises
    ------
    DatasetError
        If nothing was ingested, or the files of a public set can neither be fetched nor found in the mirror.
    """
    from foretell.predictors.thinking_tokens.prices.cost import price_requests

    if dataset == LAKE:
        return whole_traces(lake_traces(sources))
    return load_traces(
        dataset,
        starter=sources.starter / "local_llm_traces.jsonl.gz",
        cache=sources.cache,
        mirror=sources.mirror,
        price=partial(price_requests, price_file=sources.price_file),
    ).traces


def lake_traces(sources: Sources) -> Table:
    """The curated days of this installation.

    Raises
    ------
    DatasetError
        If nothing was ingested.
    """
    try:
        return Table.under(sources.home / "lake" / "request_traces")
    except FileNotFoundError as error:
        raise DatasetError("nothing was ingested yet: run `foretell ingest PATH` or `foretell demo`") from error


def _censored(job: _Job) -> pd.DataFrame:
    """Runs of each group, and how many of them were cut off."""
    position, part, rules = job
    frame = rules.once(position, read_part(part, [*GROUP, "is_censored"]))
    groups = frame.groupby(GROUP, dropna=False)["is_censored"]
    return groups.agg(censored="sum", runs="size").reset_index()


def _examples_of_part(job: _Job, capped: pd.DataFrame) -> pd.DataFrame:
    position, part, rules = job
    examples = rules.apply(position, read_part(part, READ))
    examples = examples.assign(
        replicate=examples["replicate"].astype("int64"),
        cell_id=examples["query_id"] + "|" + examples["model"] + "|" + examples["config_hash"],
        value=examples["output_tokens"].clip(lower=1).astype("float64"),
        split=assign_split(examples["query_id"]),
        is_capped=_is_in(examples, capped),
        run_reasoning_tokens=examples["reasoning_tokens"].astype("float64"),
        run_score=examples["score"].astype("float64"),
    )
    for column in ("input_tokens", "max_tokens"):
        examples[column] = examples[column].astype("float64")
    return examples


def _is_in(examples: pd.DataFrame, groups: pd.DataFrame) -> pd.Series:
    """Whether the group of each row is among `groups`; an unknown part of a group equals another unknown one."""
    matches = examples[GROUP].merge(groups.assign(is_in=True), on=GROUP, how="left")["is_in"]
    return matches.notna().set_axis(examples.index)
