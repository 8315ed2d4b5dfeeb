"""Public figures beside one's own runs: what they teach stays, and own rows decide where they suffice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.shift.public import public_runs
from foretell.predictors.thinking_tokens.shift.seen import SeenCells
from foretell.predictors.thinking_tokens.shift.unseen import UnseenCells

OWN_LEVEL = 9.0
"""Log tokens of the own workload: longer than nine tenths of what the public sets hold."""
ASKED = pd.DataFrame(
    {
        "model": ["gpt-5-mini", "gpt-5-mini", "gemini-3-flash-preview"],
        "benchmark": ["gpqa", None, None],
        "source": ["pricing-reversal", "mine", "mine"],
    }
)


def forecast(n: int) -> pd.DataFrame:
    """Log tokens of `ASKED` after a fit to `n` own rows; one row of another source where there is none."""
    rng = np.random.default_rng(n)
    source = "mine" if n else "elsewhere"
    X = pd.DataFrame({"model": "openai/gpt-5-mini", "source": source}, index=range(max(n, 1)))
    y = pd.Series(np.exp(OWN_LEVEL + 0.3 * rng.normal(size=len(X))))
    predictor = ThinkingTokensPredictor(heads=False, public=True)
    predictor.fit(X, y, groups=pd.Series([f"q{i}" for i in X.index]))
    return np.log(predictor.predict_quantiles(ASKED, [0.05, 0.5, 0.95]))


@pytest.mark.slow
def test_own_rows_decide_where_they_suffice_and_public_figures_are_kept() -> None:
    """A refit on 10, 100 and 10,000 own rows; what the public cells say hardly moves."""
    nothing, ten, hundred, many = (forecast(n) for n in (0, 10, 100, 10_000))
    for own in (ten, hundred, many):
        assert abs(own.loc[0, 0.5] - nothing.loc[0, 0.5]) < 0.1, "a public cell stays what it was"
    off = [abs(own.loc[1, 0.5] - OWN_LEVEL) for own in (nothing, ten, hundred, many)]
    assert off[0] > 1.0
    assert off[1] < 0.3
    assert off[2] < 0.12
    assert off[3] < 0.05
    widths = [own.loc[1, 0.95] - own.loc[1, 0.05] for own in (nothing, ten, hundred)]
    assert widths[0] > 2 * max(widths[1:])
    # Another model, that is known from public figures alone, follows the level of the own workload.
    assert abs(ten.loc[2, 0.5] - OWN_LEVEL) < 0.6 * abs(nothing.loc[2, 0.5] - OWN_LEVEL)
    assert ten.loc[2, 0.95] - ten.loc[2, 0.05] < 0.8 * (nothing.loc[2, 0.95] - nothing.loc[2, 0.05])


def test_own_names_and_sources_go_first_and_public_cells_are_never_trained_on() -> None:
    own = pd.DataFrame({"source": ["mine", "mine"], "benchmark": ["", "gpqa"], "model": "openai/gpt-5-mini"})
    seen = SeenCells.of(own.assign(reasoning_effort="high"))
    seen = seen.with_public(seen.respelt(public_runs()))
    models, benchmarks = ["gpt-5-mini", "gpt-5-mini", "gemini-3-flash"], ["gpqa", "aime", "aime"]
    codes, cells = seen.cells_of(pd.DataFrame({"model": models, "benchmark": benchmarks}))
    assert cells.iloc[codes].to_numpy().tolist() == [
        ["mine", "gpqa", "openai/gpt-5-mini", "high"],
        ["pricing-reversal", "aime", "openai/gpt-5-mini", ""],
        ["pricing-reversal", "aime", "gemini-3-flash", ""],
    ]
    assert seen.is_trained(cells).tolist() == [True, False, False]
    known, basis = seen.describe(cells)
    assert known == ["cell", "cell", "cell"]
    assert basis[2].endswith("runs of this model on this benchmark in public figures")
    assert {model for model, _ in seen.own_configs} == {"openai/gpt-5-mini"}
    again = SeenCells.from_state(seen.state())
    assert again.public == seen.public
    assert again.is_trained(cells).tolist() == [True, False, False]


def test_a_public_source_that_the_own_data_bring_is_read_from_them_alone() -> None:
    rows = public_runs()
    own = rows[rows["source"].eq("tinybird-sql")].head(60).reset_index(drop=True)
    X = own[["source", "benchmark", "model", "reasoning_effort"]].astype("str")
    runs = np.log(own["output_tokens"].to_numpy(float)), own["is_censored"].to_numpy(bool), own["item"].to_numpy(object)
    others = rows[rows["source"].isin(["tinybird-sql", "bashkit", "routerarena"])]
    seen = UnseenCells().fit(X, *runs, public=others).seen_
    assert sum(n for cell, n in seen.n_runs.items() if cell[0] == "tinybird-sql") == 60
    assert seen.public == {"bashkit", "routerarena"}
