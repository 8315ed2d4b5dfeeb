"""Checks of a day: what they write into Dagster's store stays small, whatever names a gateway makes up."""

from __future__ import annotations

import pandas as pd

from foretell.assets.lake.traces.checks import MAX_ROWS, check_traces
from foretell.assets.lake.traces.curation import Curated, curate
from foretell.assets.lake.traces.warnings import WARNING_COLUMNS
from tests.assets.report_traces import make_traces
from tests.assets.trace_lines import no_price


def test_a_check_says_how_many_models_it_warns_of_and_names_those_with_most_rows() -> None:
    rows = [("unpriced", f"model-{number}", number + 1, 1.0, "no price is known") for number in range(5000)]
    day = Curated(make_traces(2), pd.DataFrame(), 6, 0, pd.DataFrame(rows, columns=WARNING_COLUMNS))
    checks = {check.check_name: check for check in check_traces(day)}
    costs = checks["costs_known"]
    assert not costs.passed
    assert [costs.metadata[name].value for name in ("rows", "warnings")] == [5000 * 5001 // 2, 5000]
    lines = costs.metadata["models"].value.splitlines()
    assert len(lines) == MAX_ROWS + 2
    assert "model-4999" in lines[2]


def test_repeats_are_counted_by_cells() -> None:
    frame = pd.DataFrame({
        "source": "test", "request_id": list("abcd"), "model": ["m", "m", "m", "n"], "prompt_text": "q",
        "input_tokens": 10, "output_tokens": 20, "source_file": "a.jsonl", "source_line": range(1, 5),
    })  # fmt: skip
    for rows, repeated in ((frame, 1), (frame.iloc[2:], 0)):
        day = curate(rows, price=no_price)
        (check,) = [c for c in check_traces(day) if c.check_name == "repeats_present"]
        assert check.passed is (repeated > 0)
        assert (check.metadata["cells"].value, check.metadata["repeated_cells"].value) == (2, repeated)
