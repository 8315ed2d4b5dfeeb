"""A glance says yes only where pandera says yes, and returns what pandera returns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors
from pandera.typing import Series

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.families import FAMILIES
from foretell.predictors.glance import MAX_ROWS, valid_at_a_glance
from foretell.predictors.schemas.descriptions import ScoreRequests
from foretell.predictors.schemas.requests import Requests
from tests.predictors.benchmark_scores.synthetic_scores import make_scores


class Closed(pa.DataFrameModel):
    """A strict schema with both kinds of bound and no coercion."""

    name: Series[str] = pa.Field(nullable=False)
    share: Series[float] = pa.Field(nullable=True, gt=0, le=1)

    class Config:
        strict = True


texts = st.one_of(st.none(), st.sampled_from(["a", "gpt", ""]))
numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([-1.0, 0.0, 0.5, 2.0]))
columns = {"model": texts, "prompt_text": texts, "temperature": numbers, "top_p": numbers, "max_tokens": numbers,
           "other": numbers, "name": texts, "share": numbers}  # fmt: skip


@st.composite
def frames(draw) -> pd.DataFrame:
    names = draw(st.lists(st.sampled_from(sorted(columns)), unique=True, max_size=5))
    n = draw(st.integers(1, 4))
    made = {}
    for name in names:
        values = draw(st.lists(columns[name], min_size=n, max_size=n))
        kind = draw(st.sampled_from(["natural", "object"]))
        natural = "float64" if columns[name] is numbers else "str"
        made[name] = pd.Series(values, dtype=natural if kind == "natural" else "object")
    return pd.DataFrame(made, index=pd.RangeIndex(5, 5 + n))


@settings(max_examples=60, deadline=None)
@given(frames(), st.sampled_from([Requests, Closed]))
def test_yes_at_a_glance_is_what_pandera_returns(frame: pd.DataFrame, schema) -> None:
    seen = valid_at_a_glance(schema, frame)
    if seen is None:
        return
    pd.testing.assert_frame_equal(seen, schema.validate(frame, lazy=True))
    assert seen is not frame


def test_plain_request_needs_no_pandera() -> None:
    row = pd.DataFrame({"model": ["a"], "prompt_text": ["b"], "temperature": [0.5], "unknown": [1]})
    seen = valid_at_a_glance(Requests, row)
    assert list(seen.columns) == ["model", "prompt_text", "temperature"]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"prompt_text": ["no model"]}),
        pd.DataFrame({"model": [None]}, dtype="str"),
        pd.DataFrame({"model": ["a"], "temperature": [-1.0]}),
        pd.DataFrame({"model": ["a"], "temperature": [1]}),
        pd.DataFrame({"model": ["a"] * (MAX_ROWS + 1)}),
        pd.DataFrame({"model": []}, dtype="str"),
        pd.DataFrame([["a", "b"]], columns=["model", "model"]),
    ],
    ids=["missing", "null", "out of range", "other dtype", "large", "empty", "twice"],
)
def test_whatever_is_not_plain_goes_to_pandera(frame: pd.DataFrame) -> None:
    assert valid_at_a_glance(Requests, frame) is None


def test_message_of_a_broken_rule_is_unchanged() -> None:
    predictor = FAMILIES["thinking_tokens"].new_baselines()["global"]
    bad = pd.DataFrame({"model": ["a"], "top_p": [3.0]})
    with pytest.raises(SchemaErrors):
        Requests.validate(bad, lazy=True)
    with pytest.raises(InvalidInputError, match=r"top_p: less_than_or_equal_to\(1\.?0?\) \(saw 3\.0\)"):
        predictor._validate(bad)


def test_every_familys_schema_is_either_understood_or_left_to_pandera() -> None:
    frame = pd.DataFrame({"nothing": np.zeros(1)})
    for family in FAMILIES.values():
        schema = family.new_predictor().input_schema
        seen = valid_at_a_glance(schema, frame)
        if seen is not None:
            pd.testing.assert_frame_equal(seen, schema.validate(frame, lazy=True))


@pytest.mark.parametrize("column", sorted(ScoreRequests.to_schema().columns))
def test_no_column_of_a_score_request_passes_that_its_schema_stops(column: str) -> None:
    for value in (-1.0, 0.0, 0.5, 1.0, 1900.0, 2150.0, np.nan, "text"):
        row = pd.DataFrame({column: [value]})
        seen = valid_at_a_glance(ScoreRequests, row)
        if seen is not None:
            pd.testing.assert_frame_equal(seen, ScoreRequests.validate(row, lazy=True))
    assert valid_at_a_glance(ScoreRequests, make_scores(2, 2)[["task", "n_classes"]]) is not None


def test_a_flag_that_is_neither_0_nor_1_goes_to_pandera() -> None:
    for value, is_plain in ((1.0, True), (0.0, True), (np.nan, True), (0.5, False)):
        row = pd.DataFrame({"open_weights": [value]})
        assert (valid_at_a_glance(ScoreRequests, row) is not None) == is_plain
