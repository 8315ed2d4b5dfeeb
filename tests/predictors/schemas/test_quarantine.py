"""Rows that break a contract are set apart with all their reasons; the others go on untouched."""

import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.typing import Series

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.schemas.quarantine import split_valid
from foretell.predictors.schemas.traces import RequestTraces


class Table(pa.DataFrameModel):
    key: Series[str] = pa.Field(unique=True)
    n: Series[int] = pa.Field(ge=0)
    m: Series[int] = pa.Field(le=100)

    class Config:
        strict = True

    @pa.dataframe_check(error="m below n")
    def ordered(cls, df: pd.DataFrame) -> Series[bool]:
        return df["n"] <= df["m"]


def frame(**columns):
    return pd.DataFrame({"key": ["a", "b", "c", "d"], "n": [1, 2, 3, 4], "m": [5, 5, 5, 5]} | columns)


def test_good_table_comes_back_whole():
    valid, bad = split_valid(frame(), Table)
    pd.testing.assert_frame_equal(valid, frame())
    assert bad.empty
    assert list(bad.columns) == ["key", "n", "m", "reason"]


def test_bad_rows_get_all_their_reasons_once():
    valid, bad = split_valid(frame(n=[1, -2, 300, 4], m=[5, 500, 200, 5]), Table)
    assert valid["key"].tolist() == ["a", "d"]
    assert bad["key"].tolist() == ["b", "c"]
    assert bad["reason"].iloc[0].count(";") == 1
    assert "n: " in bad["reason"].iloc[0]
    assert "m: " in bad["reason"].iloc[0]
    assert bad["reason"].iloc[1].count("m below n") == 1


@pytest.mark.parametrize("n", [["1", "2", "3", "4"], ["1", "-2", "3", "4"]])
def test_the_given_table_stays_as_it_was(n):
    class Coerced(Table):
        class Config:
            coerce = True

    given = frame(n=n)
    valid, bad = split_valid(given, Coerced)
    pd.testing.assert_frame_equal(given, frame(n=n))
    assert (valid["n"].dtype, len(valid) + len(bad)) == ("int64", 4)


def test_ids_of_queries_that_are_no_digests_are_told():
    ids = ["0" * 64, "x", None, "0" * 64, "A" * 64]
    columns = dict.fromkeys(RequestTraces.to_schema().columns)
    traces = pd.DataFrame(columns, index=range(5)).assign(
        source="s", request_id=list("abcde"), query_id=ids, replicate=0, model="m", config_hash="c", is_censored=False,
        output_tokens=1, source_file="f",
    )  # fmt: skip
    valid, bad = split_valid(traces, RequestTraces)
    assert valid["request_id"].tolist() == ["a", "d"]
    no_digest = "query_id: str_matches('^[0-9a-f]{64}$') (saw "
    assert bad["reason"].str.startswith(no_digest).tolist() == [True, False, True]
    assert "not_nullable" in bad["reason"].iloc[1]


def test_repeated_index_is_kept_and_does_not_confuse():
    table = frame(n=[1, -1, 1, 1]).set_axis([7, 7, 7, 8])
    valid, bad = split_valid(table, Table)
    assert valid.index.tolist() == [7, 7, 8]
    assert bad["key"].tolist() == ["b"]


def test_missing_column_is_no_fault_of_a_row():
    with pytest.raises(InvalidInputError, match=r"\['m'\]"):
        split_valid(frame().drop(columns="m"), Table)


def test_all_bad_and_empty_tables():
    valid, bad = split_valid(frame(n=[-1] * 4), Table)
    assert (len(valid), len(bad)) == (0, 4)
    valid, bad = split_valid(frame().iloc[:0], Table)
    assert (len(valid), len(bad)) == (0, 0)
