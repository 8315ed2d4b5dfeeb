"""`request_traces` -> one row per run to learn from or be judged on, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd

from assets.across_days import AcrossDays, Numbered, rules_across_days
from assets.engine import Engine, Table, current_engine, read_part
from predictors.splits import assign_split

__all__ = ["token_examples"]

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
    "provider", "model", "benchmark", "reasoning_effort", "temperature", "top_p", "max_tokens",
    "input_tokens", "prompt_text", "run_reasoning_tokens", "run_score",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Job:
    """A part with what the other parts say about it."""

    item: Numbered
    rules: AcrossDays


def token_examples(traces: Table, *, learn_rows: int | None = None, engine: Engine | None = None) -> pd.DataFrame:
    """One row per run.

    `value` is the output tokens, of which an empty answer counts as 1 because errors are taken on the
    log scale. `cell_id` names the runs that share one forecast: a query on a model and configuration.
    `is_capped` marks the groups (model, benchmark, effort) of which more than a fifth of the runs were cut off.
    Keys and replicates follow `assets.across_days`, because a query may come back on another day.
    `run_reasoning_tokens` and `run_score` are outcomes like `value`: what a fit may learn from, and no forecast reads.

    Parameters
    ----------
    traces : Table
        `request_traces`.
    learn_rows : int, optional
        Of more runs than about this, those of some queries are kept: drawn by a hash of the query, all runs of one
        together. Replicates and `is_capped` still rest on all.
    engine : Engine, optional
        By default the current one. The text of a prompt stays in its part until the rows come back.
    """
    engine = engine or current_engine()
    share = 1.0 if learn_rows is None else min(1.0, learn_rows / max(traces.n_rows, 1))
    rules = rules_across_days(traces, engine, share=share)
    jobs = [_Job(item, rules.of_part(item[0])) for item in enumerate(traces.parts)]
    counts = engine.fold(_censored, jobs, _added)
    capped = counts.loc[counts["censored"] / counts["runs"] > MOSTLY_CENSORED, GROUP]
    frames = engine.map(partial(_examples_of_part, capped=capped), jobs)
    whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    return whole.sort_values(ORDER, kind="stable", ignore_index=True)[COLUMNS]


def _censored(job: _Job) -> pd.DataFrame:
    """Runs of each group, and how many of them were cut off."""
    position, part = job.item
    frame = job.rules.once(position, read_part(part, [*GROUP, "is_censored"]))
    groups = frame.groupby(GROUP, dropna=False)["is_censored"]
    return groups.agg(censored="sum", runs="size").reset_index()


def _added(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([frame for frame in (one, other) if len(frame)] or [one])
    return both.groupby(GROUP, dropna=False)[["censored", "runs"]].sum().reset_index()


def _examples_of_part(job: _Job, capped: pd.DataFrame) -> pd.DataFrame:
    position, part = job.item
    examples = job.rules.apply(position, read_part(part, READ))
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
    found = examples[GROUP].merge(groups.assign(is_in=True), on=GROUP, how="left")["is_in"]
    return found.notna().set_axis(examples.index)
