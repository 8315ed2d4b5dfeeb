"""Validation of a few rows at a glance: the same verdict as pandera's, where that can be seen without it.

Pandera takes milliseconds for any frame, which is most of the time of a forecast for one request. A small
frame whose dtypes are the schema's and that breaks no rule needs none of its work. Everything else (another dtype, a
broken rule, a schema with rules that are not understood here) goes to pandera, which words the error.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

MAX_ROWS = 64
_RULES: Mapping[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "greater_than_or_equal_to": ("min_value", operator.ge),
    "greater_than": ("min_value", operator.gt),
    "less_than_or_equal_to": ("max_value", operator.le),
    "less_than": ("max_value", operator.lt),
    "isin": ("allowed_values", lambda values, allowed: np.isin(values, list(allowed))),
}


@dataclass(frozen=True)
class _Column:
    name: str
    dtype: Any
    is_required: bool
    is_nullable: bool
    rules: tuple[tuple[Callable[[Any, Any], Any], Any], ...]


@dataclass(frozen=True)
class _Rules:
    columns: tuple[_Column, ...]
    names: frozenset[str]
    is_filter: bool
    is_strict: bool
    whole: tuple[Callable[[pd.DataFrame], Any], ...]


def valid_at_a_glance(schema: type[pa.DataFrameModel], X: pd.DataFrame) -> pd.DataFrame | None:
    """What ``schema.validate(X)`` returns for a small frame, without pandera; None says nothing about `X`."""
    if not 0 < len(X) <= MAX_ROWS or not X.columns.is_unique:
        return None
    rules = _compiled(schema)
    if rules is None:
        return None
    in_schema = [name for name in X.columns if name in rules.names]
    if rules.is_strict and len(in_schema) < X.shape[1]:
        return None
    frame = X[in_schema] if rules.is_filter and len(in_schema) < X.shape[1] else X.copy()
    for column in rules.columns:
        if not _holds(column, frame[column.name]) if column.name in in_schema else column.is_required:
            return None
    return frame if all(np.all(check(frame)) for check in rules.whole) else None


def _holds(column: _Column, values: pd.Series) -> bool:
    is_null = values.isna().to_numpy()
    if values.dtype != column.dtype or (is_null.any() and not column.is_nullable):
        return False
    numbers = values.to_numpy()[~is_null]
    return all(bool(np.all(compare(numbers, bound))) for compare, bound in column.rules)


@lru_cache(maxsize=64)
def _compiled(model: type[pa.DataFrameModel]) -> _Rules | None:
    """The rules of a schema, None where one of them is not understood here."""
    schema = model.to_schema()
    unusual = schema.unique or schema.ordered or schema.add_missing_columns or schema.parsers
    if unusual or schema.index is not None or schema.dtype is not None:
        return None
    columns = []
    for name, column in schema.columns.items():
        rules = []
        for check in column.checks:
            argument, compare = _RULES.get(check.name, (None, None))
            if argument is None or compare is None or check.statistics is None:
                return None
            rules.append((compare, check.statistics[argument]))
        plain = not (column.regex or column.unique or column.parsers or column.default is not None)
        if not plain or not isinstance(name, str):
            return None
        dtype = getattr(column.dtype, "type", None)
        columns.append(_Column(name, dtype, column.required, column.nullable, tuple(rules)))
    if any(check.element_wise or check.groupby is not None for check in schema.checks):
        return None
    whole = tuple(check._check_fn for check in schema.checks)
    return _Rules(tuple(columns), frozenset(schema.columns), schema.strict == "filter", schema.strict is True, whole)
