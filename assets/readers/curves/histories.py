"""Histories of training runs: MLflow's runs, TensorBoard's event files, logs of W&B and Lightning.

All feed `training_curves`. A file says nothing of the run that wrote it beyond its names: those become the curve's.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.normalise import as_number, canonical_json, epoch_us, first
from foretell.assets.readers.core.records import ReadOptions, Reject, Row, records_of
from foretell.assets.readers.core.stream import head_of, json_lines
from foretell.assets.readers.traces.tabular import column_names, table_items
from foretell.predictors.learning_curves.curves import lower_is_better

Item = tuple[str, Row]
CURVES, LADDER = "training_curves", "ladder_measurements"
STEPS = ("step", "_step", "global_step", "Step", "trainer/global_step", "iteration", "epoch")
TARGETS = ("target_step", "max_steps", "total_steps", "max_epochs", "epochs", "num_train_epochs", "n_epochs")
_NO_METRIC = re.compile(
    r"^(?:_.*|epoch|lr(?:-.*)?|learning_rate.*|.*/?global_step|step|Step|iteration|.*__(?:MIN|MAX))$"
)
_MEASURE = re.compile(r"(?i)loss|acc|err|score|f1|auc|bleu|rouge|perplexity|ppl|reward|mse|mae|iou|map|val|eval")
_TAGGED = ("n_params", "n_train_tokens")


class MLflowRuns:
    """Reader of what `foretell.assets.lake.landing.mlflow_store.export_mlflow_runs` writes: a run a line."""

    name = "mlflow_runs"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for lines with a run's `info` and `history`."""
        return head[:1] == b"{" and b'"mlflow_run"' in head[:64]

    def rows(self, path: Path, options: ReadOptions) -> Iterator[Item | Reject]:
        """Stream the points of every run, and the rungs of ladders among them."""
        yield from records_of(json_lines(path), _mlflow_rows)


def _mlflow_rows(number: int, run: Any) -> Iterator[Item | Reject]:
    if not isinstance(run, dict) or not isinstance(run.get("history"), dict):
        yield Reject("no run of MLflow", number, "ingest the store itself: mlflow-runs:URI")
        return
    facts = {**(run.get("parent_params") or {}), **(run.get("tags") or {}), **(run.get("params") or {})}
    target = next((v for name in TARGETS if (v := as_number(facts.get(name))) is not None and v > 0), None)
    shared: Row = {
        "curve_id": run["mlflow_run"], "dataset": first(facts.get("dataset"), run.get("experiment")),
        "learner": first(facts.get("learner"), facts.get("model"), run.get("name"), run["mlflow_run"]),
        "seed": _whole(facts.get("seed")), "target_step": target,
        "resource_unit": first(facts.get("step_unit"), "steps"),
        "is_finished": run.get("status") == "FINISHED", "n_params": as_number(facts.get("n_params")),
        "parent_id": facts.get("mlflow.parentRunId"), "config": canonical_json(run.get("params") or {}).decode(),
        "started_at": epoch_us(run.get("start_time")), "source_line": number,
    }  # fmt: skip
    started = as_number(run.get("start_time"))
    if not any(run["history"].values()):
        yield Reject("the run has no metric", number, "log a metric with a step, or leave the run out")
    for metric, points in run["history"].items():
        for step, value, at in points:
            wall = None if started is None or at is None else max(0.0, (at - started) / 1e3)
            yield CURVES, _point(shared, metric, step, value, wall_time_s=wall)
    if facts.get("ladder") and all(as_number(facts.get(name)) for name in _TAGGED) and shared["is_finished"]:
        yield from _tagged_rungs(shared, facts, run["history"])


def _tagged_rungs(shared: Row, facts: dict[str, Any], history: dict[str, list[list[Any]]]) -> Iterator[Item]:
    """The last value of each metric that is a share, of a run tagged `ladder`, `n_params` and `n_train_tokens`."""
    n_params, n_tokens = (float(facts[name]) for name in _TAGGED)
    for metric, points in history.items():
        score = as_number(points[-1][1]) if points else None
        if score is None or lower_is_better(metric) or not 0 <= score <= 1:
            continue
        yield LADDER, {
            "family": str(facts["ladder"]), "model": shared["learner"], "benchmark": metric, "item_id": "*",
            "n_params": n_params, "n_train_tokens": n_tokens, "train_flops": 6 * n_params * n_tokens,
            "score": 100 * score, "is_final": True, "seed": shared["seed"], "started_at": shared["started_at"],
            "source_line": shared["source_line"],
        }  # fmt: skip


class TrainingLog:
    """Reader of tables with a step and a column per metric: Lightning's ``metrics.csv``, W&B's history, own ones.

    The chart that W&B exports has a column for each run, named ``run - metric``.
    """

    name = "training_log"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for columns of which one is a step and another says what is measured."""
        names = column_names(head, path)
        measures = (n for n in names if _MEASURE.search(n) and not _NO_METRIC.match(n) and "token" not in n.lower())
        return any(step in names for step in STEPS) and (any(measures) or any(" - " in name for name in names))

    def rows(self, path: Path, options: ReadOptions) -> Iterator[Item | Reject]:
        """Stream a point for every number of a row."""
        names = column_names(head_of(path), path)
        step_column = options.columns.get("step") or next((name for name in STEPS if name in names), None)
        if step_column is None:
            yield Reject("no column counts steps", 1, f"name it in --columns, or one of {', '.join(STEPS[:4])}", True)
            return
        constants = {name: value[1:] for name, value in options.columns.items() if value[:1] == "="}
        points = partial(_logged_points, step_column=step_column, shared=_of_file(path) | constants, seen={})
        yield from records_of(table_items(path), points)


def _logged_points(
    number: int, values: dict[str, Any], *, step_column: str, shared: Row, seen: dict[tuple[str, float], float]
) -> Iterator[Item | Reject]:
    step = as_number(values.get(step_column))
    if step is None:
        yield Reject(f"`{step_column}` is no number", number, "give the step in every row")
        return
    at, runtime = epoch_us(values.get("_timestamp")), as_number(values.get("_runtime"))
    if at is not None and runtime is not None and not shared.get("started_at"):
        # The start of a run is one moment, though every row tells it with another rounding.
        shared["started_at"] = at - round(1e6 * runtime)
    for name, value in values.items():
        score = _score(value)
        if name == step_column or _NO_METRIC.match(str(name)) or score is None:
            continue
        run, dash, metric = str(name).rpartition(" - ")
        curve = {**shared, **({"curve_id": run, "learner": run} if dash else {})}
        before = seen.setdefault((curve["curve_id"] + metric, step), score)
        if before != score and not (math.isnan(before) and math.isnan(score)):
            remedy = "steps must increase: is the run logged twice into one file?"
            yield Reject(f"step {step:g} of `{metric}` came before with another value", number, remedy)
            continue
        yield CURVES, _point(curve, metric, step, score, wall_time_s=runtime, source_line=number)


class TensorBoard:
    """Reader of event files (``events.out.tfevents.*``), through TensorBoard's own loader; TensorFlow is not needed."""

    name = "tensorboard"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for the records of an event file."""
        return b"brain.Event:" in head[:64] or ".tfevents." in path.name

    def rows(self, path: Path, options: ReadOptions) -> Iterator[Item | Reject]:
        """Stream the scalars."""
        try:
            from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # type: ignore
        except ImportError:
            remedy = "run `pip install 'foretell[tensorboard]'` and ingest the file again"
            yield Reject("event files need the package tensorboard", 1, remedy, is_file=True)
            return
        shared, started = _of_file(path), None
        names, number = Counter[str](), 0
        try:
            for number, event in enumerate(EventFileLoader(str(path)).Load(), start=1):
                started = event.wall_time if started is None else started
                shared["started_at"] = round(started * 1e6)
                for value in event.summary.value:
                    scalar = value.tensor.float_val or value.tensor.double_val or (
                        [value.simple_value] if value.HasField("simple_value") else []
                    )  # fmt: skip
                    if len(scalar) == 1:
                        names[value.tag] += 1
                        wall = max(0.0, event.wall_time - started)
                        yield CURVES, _point(shared | {"source_line": number}, value.tag, event.step, scalar[0],
                                             wall_time_s=wall)  # fmt: skip
        except Exception as error:  # noqa: BLE001  the loader raises what its protobuf raises
            yield Reject(f"the event file is damaged ({type(error).__name__})", number + 1, "deliver it again")
        if not names:
            yield Reject("the event file holds no scalar", 1, "log scalars with `add_scalar`", is_file=True)


def _of_file(path: Path) -> Row:
    """A run is named by the folders it lies in: ``lightning_logs/version_3``."""
    path = path.resolve()
    folders = [part for part in path.parent.parts[-2:] if part not in ("/", "")]
    is_generic = path.stem in ("metrics", "history", "progress", "log") or ".tfevents." in path.name
    name = "/".join(folders) if is_generic else path.stem
    return {
        "curve_id": name, "dataset": folders[0] if is_generic and folders else path.parent.name, "learner": name,
        "resource_unit": "steps", "is_finished": True,
    }  # fmt: skip


def _point(shared: Row, metric: str, step: Any, value: Any, **more: Any) -> Row:
    score, rises = math.nan if value is None else value, not lower_is_better(metric)
    return {**shared, "metric": metric, "step": step, "value": score, "higher_is_better": rises, **more}


def _score(value: Any) -> float | None:
    """A number; NaN where training diverged, None where the row does not measure it."""
    if isinstance(value, str) and value.strip().lower() in ("nan", "inf", "-inf", "infinity"):
        return math.nan
    return as_number(value)


def _whole(value: Any) -> int | None:
    number = as_number(value)
    return None if number is None or number < 0 or not number.is_integer() else int(number)
