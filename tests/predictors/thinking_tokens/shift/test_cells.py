"""Means of cells and effects of queries, told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.shift.cells import CELL, CellTable, summarise_cells
from tests.predictors.thinking_tokens.shift.synthetic_cells import make_source_runs, make_table


def test_models_that_ran_on_harder_queries_are_not_taken_for_long_winded() -> None:
    runs = make_source_runs(1, 1, 60, seed=1)
    hard = runs["query_effect"] > 0
    one, other = "gpt-4o", "qwen3-8b"
    seen = runs[~((runs["model"] == one) & hard) & ~((runs["model"] == other) & ~hard)]
    table = summarise_cells(seen[CELL], seen["log_tokens"].to_numpy(), seen["query_id"].to_numpy(object))
    whole = runs.groupby("model")["log_tokens"].mean()
    plain = seen.groupby("model")["log_tokens"].mean()
    fitted = pd.Series(table.mean, table.cells["model"])
    assert abs(plain[one] - plain[other] - (whole[one] - whole[other])) > 0.6
    assert fitted[one] - fitted[other] == pytest.approx(whole[one] - whole[other], abs=0.2)


def test_variances_of_queries_and_runs_are_found_again() -> None:
    runs = make_source_runs(1, 1, 200, seed=2)
    table = summarise_cells(runs[CELL], runs["log_tokens"].to_numpy(), runs["query_id"].to_numpy(object))
    np.testing.assert_allclose(table.query_variance, 0.25, rtol=0.3)
    np.testing.assert_allclose(table.rest_variance, 0.09, rtol=0.3)


def test_a_cell_without_an_effort_is_kept() -> None:
    """A null effort, read as a missing key, once lost a whole source."""
    runs = make_source_runs(1, 1, 5)
    table = summarise_cells(runs[CELL], runs["log_tokens"].to_numpy(), runs["query_id"].to_numpy(object))
    assert len(table) == runs["model"].nunique()
    assert (table.n_queries == 5).all()


def test_tables_are_restored_as_they_were() -> None:
    table = make_table([("s", "b", "gpt-5", ""), ("s", "b", "gpt-4o", "low")], [6.0, 7.0])
    again = CellTable.from_state(*table.state())
    pd.testing.assert_frame_equal(again.cells, table.cells)
    np.testing.assert_array_equal(again.joined(table).take(np.array([2, 3])).mean, table.mean)
