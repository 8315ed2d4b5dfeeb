"""Logs of evals in any format that is read, as one table of scores: what `compare`, `samples` and `floor` work on.

Inspect (``.eval``, ``.json``), lm-eval (``samples_*.jsonl``), promptfoo (``results.json``), and tables (csv, jsonl,
parquet) with `item` and `score` (a number, true or false, also under `correct` and the like), and where they have them
`replicate`, `system`, `task`, `cluster`, `metric`, and the settings `harness`, `batch` and `precision`. The format is
told from the content.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.readers.core.normalise import as_number
from foretell.assets.readers.core.records import ReadOptions, Reject
from foretell.assets.readers.core.stream import head_of
from foretell.assets.readers.scores.lm_eval import LmEvalSamples
from foretell.assets.readers.scores.promptfoo import Promptfoo
from foretell.assets.readers.spellings import plain
from foretell.assets.readers.traces.inspect_ai import InspectAI
from foretell.assets.readers.traces.tabular import column_names, table_items
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.schemas.benchmark_runs import BenchmarkRuns

_NAMES = {
    "item": ("item", "item_id", "doc_id", "question_id", "sample_id", "example_id", "id"),
    "score": ("score", "correct", "is_correct", "passed", "accuracy", "acc"), "replicate": ("replicate", "epoch"),
    "system": ("system", "model"), "task": ("task", "benchmark"), "cluster": ("cluster",), "metric": ("metric",),
    "filter": ("filter",), "harness": ("harness",), "batch": ("batch",), "precision": ("precision",),
    "higher_is_better": ("higher_is_better",),
}  # fmt: skip
"""Column -> the names that it may have in a table, the first that is there."""
_READERS = (InspectAI(), Promptfoo(), LmEvalSamples())
_SETTINGS = ("harness", "batch", "precision")
_OF_TRACES = {"output_tokens", "completion_tokens"}
_TRUTH = {"true": 1.0, "false": 0.0}
_LARGE = 10.0
"""Beside scores of 0 to 1, scores from here on are of another scale."""
_FORMS = (
    "an Inspect log (.eval, .json), lm-eval's samples_*.jsonl, promptfoo's results.json, or a table (csv, jsonl, "
    "parquet) with the columns item and score"
)


def is_eval_log(path: Path) -> bool:
    """Whether a file holds scores of items; traces of requests do not."""
    return path.is_file() and (_reader(path) is not None or _is_table(path))


def _reader(path: Path) -> Any:
    """The reader of the tool that wrote a log; None for any other file."""
    head = head_of(path).lstrip()
    return next((reader for reader in _READERS if reader.sniff(head, path)), None)


def _is_table(path: Path) -> bool:
    names = set(map(plain, column_names(head_of(path).lstrip(), path)))
    if not names.isdisjoint(_OF_TRACES):
        names.discard("id")  # that of a request, which is no item
    return not names.isdisjoint(_NAMES["score"]) and not names.isdisjoint(_NAMES["item"])


def read_eval_logs(paths: list[Path], *, metric: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read logs of one eval or several: one row per run of an item, and notes of what the reader must know.

    A log may hold one system or more; a system is named by its model, and where two logs have the same by its file.
    `metric` is by default the first that all systems have. Columns are `system`, `task`, `item`, `replicate`, `cluster`
    (null where items are independent), `score` (turned round where lower is better), and the settings that are there.
    Notes tell the metric chosen, rows left out, scores turned round.

    Raises `DatasetError` if a file is missing, of no such format, or holds no score, and `InvalidInputError`, with
    file, row and remedy, if rows contradict each other, no metric is common to all, or scales differ.
    """
    notes: list[str] = []
    tables = [_read(path, notes) for path in paths]
    metrics = [list(dict.fromkeys(part["metric"])) for t in tables for _, part in t.groupby("system")]
    shared = [name for name in metrics[0] if all(name in other for other in metrics)]
    if metric is None and not shared:
        raise InvalidInputError(f"the logs share no metric: {'; '.join(', '.join(names) for names in metrics)}")
    if metric is not None and metric not in shared:
        raise InvalidInputError(f"`metric` {metric!r} is not in all logs, which share {', '.join(shared) or 'none'}")
    chosen = metric or shared[0]
    if len(shared) > 1:
        notes.append(f"metric {chosen}; there are also {', '.join(n for n in shared if n != chosen)} (--metric)")
    tables = [table[table["metric"] == chosen] for table in tables]
    named = [name for table in tables for name in table["system"].unique()]
    for path, table in zip(paths, tables, strict=True):
        if any(named.count(name) > 1 for name in table["system"].unique()):
            one = len(table["system"].unique()) == 1
            table["system"] = _label(path, paths) if one else table["system"] + f" ({_label(path, paths)})"
    scores = pd.concat(tables, ignore_index=True)
    if scores["system"].nunique() < len(named):
        raise InvalidInputError(f"the logs {', '.join(map(str, paths))} cannot be told apart: give each file once")
    _same_scale(scores)
    if len(scores["task"].unique()) > 1:
        scores["item"] = scores["task"] + "/" + scores["item"]
    if not scores["higher_is_better"].any():
        scores["score"] = -scores["score"]
        notes.append(f"of {chosen} less is better: scores are shown with a minus sign")
    elif not scores["higher_is_better"].all():
        raise InvalidInputError(f"of {chosen} more is better in one log and less in another: name another --metric")
    return scores.drop(columns=["metric", "higher_is_better"]).dropna(axis=1, how="all"), notes


def _read(path: Path, notes: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give {_FORMS}")
    reader = _reader(path)
    if reader is None and not _is_table(path):
        raise DatasetError(f"{path}: holds no scores of items; give {_FORMS}")
    if reader is None:
        table = _read_table(path)
    else:
        runs, rejects = _runs(path, reader)
        if runs.empty and rejects:
            raise DatasetError(f"{path}:{rejects[0].source_line}: {rejects[0].reason}; {rejects[0].remedy}")
        if rejects:
            what = "results without a score are" if reader.name == "promptfoo" else "lines that are no samples are"
            notes.append(f"{path}: {len(rejects)} {what} left out ({rejects[0].reason})")
        suffix = ("," + runs["filter"]).where(runs["filter"] != "none", "")
        table = runs.assign(metric=runs["metric"] + suffix, line=np.arange(1, len(runs) + 1))
        table = table.rename(columns={"item_id": "item", "model": "system", "benchmark": "task"})
    if table.empty:
        raise DatasetError(f"{path}: holds no score; was it written before the eval had ended?")
    table["system"] = table["system"].fillna(path.name.split(".")[0])
    key = ["system", "task", "metric", "item", "replicate", *(name for name in _SETTINGS if name in table)]
    same = table.duplicated([*key, "score"], keep="first")
    if (clash := table[~same & table.duplicated(key)]).size:
        row = clash.iloc[0]
        raise InvalidInputError(
            f"{path}: line {row['line']}: item {row['item']} has replicate {row['replicate']} twice, with different "
            "scores; number the repeats of an item in the column replicate, or leave that column out"
        )
    if same.any():
        notes.append(f"{path}: {int(same.sum())} rows that stand there twice are counted once")
        table = table[~same]
    columns = ["system", "task", "item", "replicate", "metric", "score", "higher_is_better"]
    return table[[*columns, *(name for name in ("cluster", *_SETTINGS) if name in table)]].copy()


def _runs(path: Path, reader: Any) -> tuple[pd.DataFrame, list[Reject]]:
    """Scores of items as `BenchmarkRuns`, and the records that hold none."""
    companions = reader.companions(path) if isinstance(reader, LmEvalSamples) else ()
    items = list(reader.rows(path, ReadOptions(companions=companions)))
    rejects = [item for item in items if isinstance(item, Reject)]
    frame = pd.DataFrame([item[1] for item in items if not isinstance(item, Reject)])
    frame = frame.reindex(columns=list(BenchmarkRuns.to_schema().columns))
    frame["started_at"] = pd.to_datetime(frame["started_at"], unit="us", utc=True)
    return BenchmarkRuns.validate(frame, lazy=True), rejects


def _read_table(path: Path) -> pd.DataFrame:
    """The rows of a table; without a column of replicates the rows of an item are its repeats, in order."""
    rows = []
    for item in table_items(path):
        if isinstance(item, Reject):
            raise InvalidInputError(f"{path}: line {item.source_line}: {item.reason}; {item.remedy}")
        line, record = item
        lowered = {plain(str(name)): value for name, value in record.items()}
        row = {to: next((lowered[n] for n in names if lowered.get(n) not in (None, "")), None)
               for to, names in _NAMES.items()}  # fmt: skip
        score = _TRUTH.get(str(row["score"]).lower(), as_number(row["score"]))
        if row["item"] is None or score is None or not np.isfinite(score):
            what = "no item" if row["item"] is None else f"the score {row['score']!r} is no number"
            raise InvalidInputError(f"{path}: line {line}: {what}; every row has an item and a number as its score")
        rows.append({**row, "item": str(row["item"]), "score": score, "line": line})
    table = pd.DataFrame(rows, columns=[*_NAMES, "line"])
    if not table["filter"].isna().all():
        table["metric"] = table["metric"].fillna("score") + ("," + table["filter"].fillna("none")).replace(",none", "")
    table = table.fillna({"task": "task", "metric": "score"})
    table["higher_is_better"] = ~table["higher_is_better"].astype(str).str.lower().isin(["false", "0", "0.0"])
    of_item = [name for name in ("system", "task", "metric", "item", *_SETTINGS) if not table[name].isna().all()]
    if table["replicate"].isna().any():
        table["replicate"] = table.groupby(of_item, dropna=False).cumcount()
    return table.drop(columns=[name for name in _SETTINGS if table[name].isna().all()])


def _label(path: Path, paths: list[Path]) -> str:
    """Name of a file, with its folder where two files have the same."""
    name = path.name.split(".")[0]
    return name if [other.name for other in paths].count(path.name) == 1 else f"{path.parent.name}/{name}"


def _same_scale(scores: pd.DataFrame) -> None:
    largest = scores["score"].abs().groupby(scores["system"]).max()
    small, large = largest[largest <= 1], largest[largest >= _LARGE]
    if len(small) and len(large):
        raise InvalidInputError(
            f"the scores are on different scales: {small.index[0]} goes up to {small.iloc[0]:g}, {large.index[0]} up "
            f"to {large.iloc[0]:g}; write both as shares (0-1) or both as points"
        )
