"""The tasks of the model ladder in words, as tables: PRECOG's seven fields, and the floors of guessing."""

from __future__ import annotations

import pandas as pd

from foretell.collect.ladder_tasks import TASKS, Task, chance_floor
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions

__all__ = ["LICENCE", "PUBLISHED", "describe_levels", "describe_tasks", "task_table"]

LICENCE = "Apache-2.0"
PUBLISHED = "2026-11-22"
_UNITS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
          "thirteen", "fourteen", "fifteen", "sixteen", "seventeen")  # fmt: skip
_LARGE = {50: "fifty", 99: "ninety-nine", 400: "four hundred"}
_LEVELS = {1: "easiest", 2: "middle", 3: "hardest"}


def describe_tasks(per_level: int = 25) -> pd.DataFrame:
    """One row per task, key `benchmark` (the task's name), valid under `BenchmarkDescriptions`."""
    rows = [
        _description(
            task,
            benchmark=task.name,
            difficulty=f"The questions have {_size(task, 1)}, {_size(task, 2)} or {_size(task, 3)} {task.scale}.",
            subset="All levels of difficulty in equal parts.",
            n_items=3 * per_level,
        )
        for task in TASKS
    ]
    return _table(rows)


def describe_levels(per_level: int = 25) -> pd.DataFrame:
    """One row per task and level, `benchmark` being ``<task>-<level>``, valid under `BenchmarkDescriptions`."""
    rows = [
        _description(
            task,
            benchmark=f"{task.name}-{level}",
            difficulty=f"The questions have {_size(task, level)} {task.scale}.",
            subset=f"The {_LEVELS[level]} of three levels of difficulty.",
            n_items=per_level,
        )
        for task in TASKS
        for level in _LEVELS
    ]
    return _table(rows)


def task_table(per_level: int = 25) -> pd.DataFrame:
    """One row per task and level: benchmark, level, skill, answer_format, n_items, chance (pass rate of guessing)."""
    rows = [
        {
            "benchmark": task.name, "level": level, "skill": task.skill, "answer_format": task.form,
            "n_items": per_level, "chance": chance_floor(task.name, level, per_level),
        }
        for task in TASKS
        for level in _LEVELS
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"level": "int8", "n_items": "int32", "chance": "float64"})


def _size(task: Task, level: int) -> str:
    size = task.levels[level - 1] + (task.name == "continue-pattern")  # its periods reach one beyond its size
    return _UNITS[size] if size < len(_UNITS) else _LARGE[size]


def _description(task: Task, *, benchmark: str, difficulty: str, subset: str, n_items: int) -> dict[str, object]:
    return {
        "benchmark": benchmark,
        "task": f"The task is to {task.says[0].lower()}{task.says[1:]}.",
        "data_collection": "The questions are generated at random by a program, which also computes the answer.",
        "evaluation": "The answer must match in every character; the score is the probability of such an answer.",
        "difficulty": difficulty,
        "subset": subset,
        "prompting_strategy": "No examples and no reasoning: a sign for the task, the question, then the answer.",
        "other_settings": f"The model writes a {task.form}. It was trained on fresh questions of the same kind.",
        "domain": task.skill,
        "answer_format": task.form,
        "metric": "exact_match",
        "languages": None,
        "n_items": n_items,
        "n_classes": task.n_classes,
        "leak_group": f"ladder {task.name}",  # the levels of a task are one family of benchmarks
        "licence": LICENCE,
        "source_url": None,
        "published_at": PUBLISHED,
    }


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table["published_at"] = pd.to_datetime(table["published_at"], utc=True)
    return BenchmarkDescriptions.validate(table, lazy=True)
