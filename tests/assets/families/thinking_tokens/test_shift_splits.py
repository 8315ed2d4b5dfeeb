"""Evaluation where the user is: what is left out is nowhere in the fit, and intervals are over it."""

from __future__ import annotations

import pandas as pd
import pytest

from foretell.assets.families import get_family
from foretell.assets.families.thinking_tokens.examples import public_examples
from foretell.assets.families.thinking_tokens.shift import SHIFTS, ShiftTerms, _folds, shift_splits
from foretell.assets.judging.splits import judge_splits
from foretell.predictors.model_names import model_keys
from foretell.predictors.schemas.examples import as_examples

FAMILY = get_family("thinking_tokens")


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """Runs of four small public sets, a few of each cell."""
    rows = as_examples(public_examples())
    rows = rows[rows["source"].isin(["boswell", "bashkit", "tinybird-sql", "lrm-token-economy"])]
    few = rows.groupby(["source", "benchmark", "model", "reasoning_effort"]).cumcount() < 12
    return rows[few].reset_index(drop=True)


@pytest.mark.parametrize("shift", SHIFTS)
def test_what_is_left_out_is_nowhere_in_the_fit(examples: pd.DataFrame, shift: str) -> None:
    parts = list(_folds(examples, shift, 200))
    assert len(parts) >= (1 if shift == "later" else 2)
    for name, train, test in parts:
        assert len(train)
        assert len(test)
        if shift == "new_source":
            assert set(test["source"]) == {name}
            assert name not in set(train["source"])
        elif shift == "new_benchmark":
            pairs = [set(part["source"] + " / " + part["benchmark"]) for part in (train, test)]
            assert pairs[1] == {name}
            assert name not in pairs[0]
        elif shift == "new_model":
            keys = [{model_keys(model)[-1] for model in part["model"].unique()} for part in (train, test)]
            assert keys[1] == {name}
            assert name not in keys[0]
        else:
            assert train["started_at"].max() < test["started_at"].min()


@pytest.mark.slow
def test_splits_are_judged_over_what_was_left_out(examples: pd.DataFrame) -> None:
    terms = ShiftTerms(("new_source", "new_model"), ("", "_k5", "_warm"), clusters=2)
    table = judge_splits(FAMILY, shift_splits(FAMILY, examples, terms), dataset="public")
    names = {"new_source", "new_source_k5", "new_model", "new_model_k5", "new_model_warm"}
    assert set(table["split"]) == names | {f"{name}_total" for name in names}
    head = table[(table["segment"] == "all") & (table["predictor"] == "ThinkingTokensPredictor")]
    assert (head[head["split"] == "new_source"]["n_queries"] == 2).all()
    width = head[head["metric"] == "width_90"].set_index("split")["value"]
    assert width["new_source_k5"] < 0.8 * width["new_source"], "five runs of a cell tell its level"
    covered = head[head["metric"] == "coverage_90"].set_index("split")["value"]
    assert covered["new_source_k5"] > 0.8
    anchors = table[(table["split"] == "new_source_k5") & (table["segment"] == "all")]
    assert set(anchors["baseline"].dropna()) == {"anchors_alone"}
