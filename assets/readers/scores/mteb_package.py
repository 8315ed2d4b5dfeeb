"""What the package ``mteb`` says about its tasks, where it is installed: the form of the prepared snapshot.

The package (Apache-2.0; 1,571 tasks in 2.26.24) carries the metadata and the statistics of the texts, so nothing is
fetched. It is no dependency of this project: ``pip install mteb``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from foretell.predictors.errors import DatasetError

_BY_LANGUAGE = "hf_subset_descriptive_stats"


def package_tasks(metadata: Iterable[Any] | None = None) -> pd.DataFrame:
    """Task metadata in the form that `mteb.describe_tasks` reads.

    Parameters
    ----------
    metadata : iterable of mteb.TaskMetadata, optional
        By default those of every task of the package.

    Returns
    -------
    DataFrame
        One row per task: `task`, `description`, `type`, `modalities`, `languages`, `main_metric`, `date`, `domains`,
        `subtypes`, `license`, `annotations`, `sample_creation`, `reference`, and statistics of its first evaluated
        split as ``st_<name>__<name>``. Several values of one column are joined by ``|``.

    Raises
    ------
    DatasetError
        If the package is not installed.
    """
    if metadata is None:
        try:
            import mteb  # type: ignore[import-not-found]
        except ImportError as error:
            raise DatasetError(f"task metadata need the package `mteb` ({error}): run `pip install mteb`") from error
        metadata = [task.metadata for task in mteb.get_tasks()]
    return pd.DataFrame([_row(task) for task in metadata])


def _row(task: Any) -> dict[str, Any]:
    stats = task.descriptive_stats or {}
    split = next((name for name in task.eval_splits if name in stats), next(iter(stats), None))
    return {
        "task": task.name,
        "description": task.description,
        "type": task.type,
        "modalities": _joined(task.modalities),
        "languages": _joined(sorted(set(task.languages))),
        "main_metric": task.main_score,
        "date": None if task.date is None else str(tuple(task.date)),
        "domains": _joined(sorted(task.domains or [])),
        "subtypes": _joined(sorted(task.task_subtypes or [])),
        "license": task.license,
        "annotations": task.annotations_creators,
        "sample_creation": task.sample_creation,
        "reference": task.reference,
        **({} if split is None else dict(_flat(stats[split]))),
    }


def _joined(values: Iterable[str] | None) -> str | None:
    return "|".join(values) if values else None


def _flat(statistics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers of the statistics and of the groups in them, without counts of single labels or languages."""
    for name, value in statistics.items():
        group = value.items() if isinstance(value, Mapping) and name != _BY_LANGUAGE else ()
        for inner, number in [("", value), *group]:
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield f"st_{name}__{inner}" if inner else f"st_{name}", float(number)
