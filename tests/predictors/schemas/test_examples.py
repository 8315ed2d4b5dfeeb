"""The contract of the examples of every family."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.schemas.examples import as_examples, has_days


def examples() -> pd.DataFrame:
    """Two runs of one query and one of another, of which no day is known."""
    return pd.DataFrame(
        {
            "cell_id": ["a|m", "a|m", "b|m"],
            "query_id": ["a", "a", "b"],
            "replicate": [0, 1, 0],
            "value": [1.0, 2.0, 3.0],
            "is_censored": False,
            "is_capped": False,
            "repeat_prob": [0.5, 0.5, None],
            "split": ["train", "train", "test"],
            "started_at": pd.NaT,
            "source": "made up",
            "model": "m",
        }
    )


def test_a_family_may_add_columns_and_leave_days_unknown() -> None:
    valid = as_examples(examples())
    assert str(valid["started_at"].dtype) == "datetime64[us, UTC]"
    assert valid["model"].eq("m").all()
    assert not has_days(valid)
    assert has_days(valid.assign(started_at=pd.Timestamp("2026-01-01", tz="UTC")))


@pytest.mark.parametrize("column", ["started_at", "source", "split", "repeat_prob"])
def test_no_column_is_dropped(column: str) -> None:
    with pytest.raises(InvalidInputError, match=column):
        as_examples(examples().drop(columns=column))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": ["train", "test", "test"]}, "all runs of a query must be in one split"),
        ({"replicate": 0}, "replicate"),
        ({"split": "validation"}, "split"),
        ({"repeat_prob": 0.0}, "repeat_prob"),
        ({"value": [1.0, 2.0, None]}, "value"),
    ],
)
def test_a_broken_rule_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        as_examples(examples().assign(**changes))
