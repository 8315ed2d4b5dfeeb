"""Which cell a request means, and what is said of it."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.shift.cells import CELL
from foretell.predictors.thinking_tokens.shift.seen import ANOTHER_SOURCE, SeenCells

SEEN = SeenCells(
    {
        ("a", "maths", "claude-haiku-4-5-20251001", "none"): 10,
        ("a", "maths", "gpt-5", "low"): 5,
        ("a", "maths", "gpt-5", "high"): 6,
        ("b", "maths", "qwen3-8b", ""): 40,
        ("b", "law", "qwen3-8b", ""): 3,
    }
)
ONE_SOURCE = SeenCells({("", "maths", "gpt-5", "low"): 5})


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (("a", "maths", "gpt-5", "low"), ("a", "maths", "gpt-5", "low")),
        # another spelling, and the only effort that the model was seen with
        (("", "maths", "anthropic/claude-haiku-4.5", ""), ("a", "maths", "claude-haiku-4-5-20251001", "none")),
        # two efforts: none of them is meant
        (("", "maths", "gpt-5", ""), ("a", "maths", "gpt-5", "")),
        # of the sources of a benchmark that of the model comes first, then that of most runs
        (("", "maths", "qwen3-8b", ""), ("b", "maths", "qwen3-8b", "")),
        (("", "maths", "unheard", ""), ("b", "maths", "unheard", "")),
        (("", "poems", "qwen3-8b", ""), (ANOTHER_SOURCE, "poems", "qwen3-8b", "")),
        (("c", "maths", "qwen3-8b", ""), ("c", "maths", "qwen3-8b", "")),
    ],
)
def test_what_is_left_open_is_found(asked: tuple[str, ...], meant: tuple[str, ...]) -> None:
    _, cells = SEEN.cells_of(pd.DataFrame([asked], columns=CELL))
    assert tuple(cells.iloc[0]) == meant


def test_a_single_source_is_meant_where_its_model_is_asked_for() -> None:
    asked = pd.DataFrame(
        [("x", "maths", "gpt-5", "low"), ("", "law", "gpt-5", ""), ("", "law", "o3", "")], columns=CELL
    )
    codes, cells = ONE_SOURCE.cells_of(asked)
    assert cells["source"].iloc[codes].tolist() == ["", "", ANOTHER_SOURCE]


def test_nulls_and_absent_columns_are_the_same() -> None:
    null = pd.DataFrame({"model": ["gpt-5"], "benchmark": [None], "source": [None], "reasoning_effort": [None]})
    pd.testing.assert_frame_equal(SEEN.cells_of(null)[1], SEEN.cells_of(null[["model"]])[1])


def test_what_is_known_is_said() -> None:
    cells = pd.DataFrame(
        [
            ("a", "maths", "gpt-5", "low"),
            ("a", "maths", "gpt-5", "minimal"),
            ("b", "maths", "gpt-5", "low"),
            ("b", "poems", "gpt-5", "low"),
            ("b", "law", "o3", ""),
            (ANOTHER_SOURCE, "", "o3", ""),
        ],
        columns=CELL,
    )
    known, basis = SEEN.describe(cells)
    assert known == ["cell", "model", "model", "model", "benchmark", "neither"]
    assert basis[0] == "5 runs of this model on this benchmark"
    assert "other efforts" in basis[1]
    assert basis[2] == "11 runs of this model elsewhere, 1 model on this benchmark"
    assert basis[4] == "1 model on this benchmark, no run of this one"
    assert basis[5].startswith("neither model nor benchmark was seen: 3 models")


def test_anchors_are_seen_but_not_trained_on() -> None:
    cell = ("c", "maths", "o3", "")
    later = SEEN.with_anchors([cell] * 4 + [("a", "maths", "gpt-5", "low")] * 2)
    cells = pd.DataFrame([cell, ("a", "maths", "gpt-5", "low")], columns=CELL)
    assert later.is_trained(cells).tolist() == [False, True]
    assert later.describe(cells)[1] == [
        "4 runs of this model on this benchmark, all after training",
        "7 runs of this model on this benchmark, 2 of them after training",
    ]
    assert SeenCells.from_state(later.state()).n_anchors == later.n_anchors
    assert "o3" not in SEEN.models
