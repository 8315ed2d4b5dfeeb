"""The first line of a quote: what it rests on, what it is unsure of most, and what would tell."""

from __future__ import annotations

import re

import numpy as np

from foretell.predictors.thinking_tokens.bill.doubt import doubt_line
from foretell.predictors.thinking_tokens.bill.totals import BatchForecast


def batch(shared: float, single: float, n: int) -> BatchForecast:
    steps = np.exp(6 + single * np.sqrt(3) * np.linspace(-1, 1, 100))
    limits = np.full(n, np.inf)
    return BatchForecast(np.tile(steps, (n, 1)), np.full(n, shared), np.zeros(n, dtype=np.intp), limits)


def test_what_is_shared_does_not_average_out_and_runs_narrow_it() -> None:
    line = doubt_line("m", "no run", batch(1.0, 0.5, 400))
    now, then = (float(number) for number in re.findall(r"a factor ([\d.]+)", line))
    assert line.startswith("m: no run. Widest doubt: how long it answers such requests at all")
    np.testing.assert_allclose(now, np.exp(1.645), rtol=0.05)
    np.testing.assert_allclose(then, np.exp(1.645 * np.sqrt(1 / (1 + 10 / 0.25))), rtol=0.05)


def test_single_requests_are_the_doubt_of_a_known_cell() -> None:
    assert "single requests differ" in doubt_line("m", "9 runs", batch(0.01, 0.5, 2))
