"""Validation of a few rows at a glance: the same verdict as pandera's, where that can be seen without it.

Pandera takes milliseconds for any frame, which is most of the time of a forecast for one request. A small
frame whose dtypes are the schema's and that breaks no rule needs none of its work. Everything else (another dtype, a
broken rule, a schema with rules that are not understood here) goes to pandera, which words the error.
"""

import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

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


_Compiled: TypeAlias = tuple[pa.DataFrameSchema, Mapping[str, list[tuple[Callable[[Any, Any], Any], Any]]]]
"""A schema, and of each of its columns the comparisons and bounds that its values keep."""


def valid_at_a_glance(schema: type[pa.DataFrameModel], X: pd.DataFrame) -> pd.DataFrame | None:
    """What ``schema.validate(X)`` returns for a small frame, without pandera; None says nothing about `X`."""
    if not 0 < len(X) <= MAX_ROWS or not X.columns.is_unique:
        return None
    compiled = _compiled(schema)
    if compiled is None:
        return None
    contract, rules = compiled
    in_schema = [name for name in X.columns if name in rules]
    if contract.strict is True and len(in_schema) < X.shape[1]:
        return None
    frame = X[in_schema] if contract.strict == "filter" and len(in_schema) < X.shape[1] else X.copy()
    for name, column in contract.columns.items():
        if name not in in_schema:
            if column.required:
                return None
            continue
        values = frame[name]
        is_null = values.isna().to_numpy()
        if values.dtype != getattr(column.dtype, "type", None) or (is_null.any() and not column.nullable):
            return None
        numbers = values.to_numpy()[~is_null] if rules[name] else values
        if not all(np.all(compare(numbers, bound)) for compare, bound in rules[name]):
            return None
    return frame if all(np.all(check._check_fn(frame)) for check in contract.checks) else None


@lru_cache(maxsize=64)
def _compiled(model: type[pa.DataFrameModel]) -> _Compiled | None:
    """The rules of a schema, None where one of them is not understood here."""
    schema = model.to_schema()
    unusual = schema.unique or schema.ordered or schema.add_missing_columns or schema.parsers
    if unusual or schema.index is not None or schema.dtype is not None:
        return None
    rules: dict[str, list[tuple[Callable[[Any, Any], Any], Any]]] = {}
    for name, column in schema.columns.items():
        if column.regex or column.unique or column.parsers or column.default is not None or not isinstance(name, str):
            return None
        rules[name] = []
        for check in column.checks:
            if check.name not in _RULES or check.statistics is None:
                return None
            argument, compare = _RULES[check.name]
            rules[name].append((compare, check.statistics[argument]))
    if any(check.element_wise or check.groupby is not None for check in schema.checks):
        return None
    return schema, rules
