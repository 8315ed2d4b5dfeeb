"""Scores that a language model is asked for: sent within a budget, kept in the home, and judged by what lands later.

One answer is one line of ``asked/answers.jsonl``, under the hash of the prompt's version, the model that is asked and
what it is told: what was answered once is not sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families.benchmark_scores.asking import with_metadata
from foretell.assets.store.sources import read_public
from foretell.pipelines.pilots.ledger import kept_lines
from foretell.pipelines.pilots.plan import body_of, bounded, usage_price
from foretell.pipelines.pilots.sending import Call, Endpoint, Sending, send_within
from foretell.predictors.arrays import Floats, Mask
from foretell.predictors.base import LEVELS
from foretell.predictors.benchmark_scores.elicitation.pool import Pool
from foretell.predictors.benchmark_scores.elicitation.prompt import PROMPT, combined, messages_of, read_answer

ANSWERS, LOG = "answers.jsonl", "log.jsonl"


@dataclass(frozen=True)
class Asking:
    """Who is asked, how often for each forecast, and for how many USD at most.

    `cutoff` is the decimal year at which what it has read ends, None where nobody says; `folder` is where answers are
    kept; `answer_tokens` caps an answer: five numbers, and the thoughts before.
    """

    llm: str
    endpoint: Endpoint
    folder: Path
    samples: int = 5
    max_cost: float = 1.0
    cutoff: float | None = None
    price_file: Path | None = None
    answer_tokens: int = 4_000
    say: Callable[[str], None] = print


@dataclass
class Answered:
    """What came back: a row per forecast in `table`, and what must be known of it.

    `table` has a column per level of `LEVELS` (points, NaN without a valid answer), `n_answers` (valid ones) and
    `is_before_cutoff`: whether the asked model can have read about the benchmark. `problems` are lines of what went
    wrong, `n_bad` answers that are no forecast, `usd` what was spent now.
    """

    table: pd.DataFrame
    problems: list[str] = field(default_factory=list)
    n_bad: int = 0
    usd: float = 0.0


def ask(inputs: pd.DataFrame, predictor: Floats, asking: Asking, scored: pd.DataFrame) -> Answered:
    """Ask for the scores of `inputs` (redacted rows of `ScoreRequests`) what was not asked before.

    `predictor` are its quantiles at `LEVELS` now, shape (n_samples, n_levels), and `scored` (`benchmark`, `model`) what
    has a score already: both are kept with an answer, for the day on which it is judged.

    Raises `InvalidInputError` if nothing bounds what a call costs.
    """
    calls, keys = [], []
    known = set(zip(scored["benchmark"], scored["model"], strict=True))
    for row, ours in zip(inputs.to_dict("records"), predictor.tolist(), strict=True):
        messages = messages_of({str(name): value for name, value in row.items()})
        keys.append(hashlib.sha256(json.dumps([PROMPT, asking.llm, messages]).encode()).hexdigest()[:24])
        cell = {name: row.get(name) if isinstance(row.get(name), str) else None for name in ("benchmark", "model")}
        had_score, year = tuple(cell.values()) in known, row.get("published_year")
        kept = {"llm": asking.llm, "prompt": PROMPT, "key": keys[-1], **cell, "predictor": ours,
                "had_score": had_score, "published_year": year if year == year else None}  # fmt: skip
        body = body_of({"messages": messages}, {}, asking.llm, asking.answer_tokens)
        calls += [Call(f"{keys[-1]}:{i}", body, np.nan, kept) for i in range(asking.samples)]
    asking.folder.mkdir(parents=True, exist_ok=True)
    file, wanted = asking.folder / ANSWERS, {call.key: call for call in calls}
    before = {line["custom_id"] for line in kept_lines(file)}
    sending = Sending(asking.endpoint, usage_price(asking.price_file), file, say=asking.say)
    _, problems = send_within(
        bounded(list(wanted.values()), asking.price_file), sending, asking.folder / LOG, asking.max_cost, in_all=False
    )
    lines = [line for line in kept_lines(file) if line["custom_id"] in wanted]
    valid = _valid_answers(lines)
    table = pd.DataFrame([combined(valid.get(key, [])) for key in keys], index=inputs.index, columns=list(LEVELS))
    table["n_answers"] = [len(valid.get(key, [])) for key in keys]
    table["is_before_cutoff"] = _is_before(inputs, asking.cutoff)
    n_bad = len(lines) - sum(len(answers) for answers in valid.values())
    usd = sum(line["pilot"]["counted_usd"] for line in lines if line["custom_id"] not in before)
    return Answered(table, problems, n_bad, usd)


def _is_before(inputs: pd.DataFrame, cutoff: float | None) -> Mask:
    """Whether each benchmark was published before the cut-off, as every one is of which no date is known."""
    published = inputs["published_year"].astype("float64") if "published_year" in inputs else np.nan
    later = pd.Series(published, index=inputs.index) >= (np.inf if cutoff is None else cutoff)
    return ~later.to_numpy(dtype=bool)


def _valid_answers(lines: list[dict[str, Any]]) -> dict[str, list[Floats]]:
    """Quantiles of every sample that is a forecast, by the key of what was asked."""
    valid: dict[str, list[Floats]] = {}
    for line in lines:
        choices = (line["response"]["body"] or {}).get("choices") or [{}]
        answer = read_answer((choices[0].get("message") or {}).get("content"))
        if answer is not None and line["pilot"]["fault"] is None:
            valid.setdefault(line["pilot"]["key"], []).append(answer)
    return valid


def scored_cells(own: pd.DataFrame, public: Path) -> pd.DataFrame:
    """What has a score: `benchmark`, `model`, `value` and leak `group` of the lake's examples, `own`, if there are any.

    Public figures count too, without a value: the predictor has learnt from them.
    """
    columns = ["benchmark", "model", "value", "group"]
    figures = read_public(public, "modern_scores").assign(value=np.nan, group="")
    if own.empty:
        return figures[columns]
    own = with_metadata(own.rename(columns={"leak_group": "group"}), public)
    means = own.groupby(["benchmark", "model"], as_index=False).agg({"value": "mean", "group": "first"})
    return pd.concat([means, figures[columns]], ignore_index=True).drop_duplicates(["benchmark", "model"])


def judged_answers(asking: Asking, scored: pd.DataFrame) -> pd.DataFrame:
    """Kept forecasts of the asked model whose score has landed since (`scored_cells`), a row each.

    Columns: `benchmark`, `model`, `value`, `group`, `is_before_cutoff`, `predictor` and `asked` (arrays of quantiles).
    Left out are those that had a score when they were made.
    """
    who = (asking.llm, PROMPT)
    lines = [line for line in kept_lines(asking.folder / ANSWERS)
             if (line["pilot"]["llm"], line["pilot"]["prompt"]) == who and not line["pilot"]["had_score"]]  # fmt: skip
    kept = {line["pilot"]["key"]: line["pilot"] for line in reversed(lines)}
    rows = [{**kept[key], "asked": combined(answers)} for key, answers in _valid_answers(lines).items()]
    table = pd.DataFrame(rows, columns=["benchmark", "model", "published_year", "predictor", "asked"])
    table = table.assign(is_before_cutoff=_is_before(table, asking.cutoff)).drop(columns="published_year")
    return table.merge(scored.dropna(subset=["value"]), on=["benchmark", "model"])


def learnt_pool(judged: pd.DataFrame) -> Pool:
    """The weight that judged forecasts earn; those of benchmarks that the asked model can have read of do not count."""
    rows = judged[~judged["is_before_cutoff"]]
    ours, theirs = (np.array(rows[name].tolist()).reshape(len(rows), len(LEVELS)) for name in ("predictor", "asked"))
    return Pool.fit(ours, theirs, rows["value"].to_numpy(dtype=np.float64), rows["group"])
