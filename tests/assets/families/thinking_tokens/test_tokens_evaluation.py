"""What a forecast may know of its query, and LRMTokenEconomy with its traps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from foretell.assets.families.thinking_tokens.evaluation import query_folds, regime_rows
from foretell.assets.families.thinking_tokens.examples import examples_from_traces
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.lake.datasets import load_traces
from foretell.assets.lake.traces.curation import curate
from foretell.assets.readers.reading import read_traces
from tests.assets.trace_lines import MIRROR, flat_price, needs_mirror

HEADER = (
    "prompt_id,type,model_name,lab,run_number,max_tokens,success_rate,tokens_output,tokens_reasoning,tokens_completion"
)


def lrm_lines(n_runs: int = 3) -> list[str]:
    """Two prompts, two models; the estimated split of `b` is wrong once."""
    return [
        f"{prompt},{kind},{model},lab,{run},30000,1,{10 - 100 * (model == 'b' and run == 1)},"
        f"{190 + 100 * (model == 'b' and run == 1)},{200 + run}"
        for prompt, kind in (("sum", "Math"), ("fork", "logic puzzle"))
        for model in ("a", "b")
        for run in range(1, n_runs + 1)
    ]


def lrm_examples(tmp_path: Path, lines: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Examples and warnings of a small file."""
    path = tmp_path / "evaluation_stats.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")
    curated = curate(read_traces(path, "lrm_token_economy").rows, price=flat_price)
    assert curated.quarantine.empty
    return examples_from_traces(curated.traces), curated.warnings


def test_an_estimate_above_the_whole_is_unknown_and_costs_no_row(tmp_path: Path) -> None:
    examples, _ = lrm_examples(tmp_path, lrm_lines())
    assert len(examples) == 12
    assert examples["run_reasoning_tokens"].isna().sum() == 2
    assert set(examples["benchmark"]) == {"lrm-token-economy/Math", "lrm-token-economy/logic puzzle"}
    assert (examples["repeat_prob"] == 1).all()


def test_a_run_at_its_limit_is_a_lower_bound(tmp_path: Path) -> None:
    lines = [*lrm_lines(), "sum,Math,a,lab,4,30000,0,10,29990,30000"]
    examples, _ = lrm_examples(tmp_path, lines)
    assert examples["is_censored"].sum() == 1


def test_a_run_twice_is_quarantined_or_counted(tmp_path: Path) -> None:
    lines = lrm_lines()
    path = tmp_path / "evaluation_stats.csv"
    other = "sum,Math,a,lab,1,30000,1,10,390,400"
    path.write_text("\n".join([HEADER, *lines, lines[0], other]) + "\n", "utf-8")
    curated = curate(read_traces(path, "lrm_token_economy").rows, price=flat_price)
    assert (len(curated.traces), curated.n_duplicates, len(curated.quarantine)) == (12, 1, 1)


def test_nearly_no_thinking_and_lost_costs_are_warned_of(tmp_path: Path) -> None:
    _, warnings = lrm_examples(tmp_path, [line.replace(",190,", ",2,") for line in lrm_lines()])
    off = warnings[warnings["check"] == "thinking_off"]
    assert set(off["model"]) == {"a", "b"}
    path = tmp_path / "evaluation_stats.csv"
    rows = read_traces(path, "lrm_token_economy").rows
    rows["cost_reported_usd"] = [0.0, *[0.1] * (len(rows) - 1)]
    lost = curate(rows, price=flat_price).warnings.query("check == 'cost_not_reported'")
    assert lost[["model", "n_rows"]].to_numpy().tolist() == [["a", 1]]


@needs_mirror
def test_the_real_set_is_whole(tmp_path: Path) -> None:
    found = load_traces("lrm-token-economy", starter=tmp_path, cache=tmp_path, mirror=MIRROR, price=flat_price)
    assert (len(found.traces), len(found.quarantine)) == (2178, 0)
    assert found.traces["prompt_text"].notna().all()
    assert found.traces["query_id"].nunique() == 19
    assert found.traces["is_censored"].sum() == 2


# -- regimes -------------------------------------------------------------------------------------------
def test_each_regime_knows_what_its_name_says(tmp_path: Path) -> None:
    examples, _ = lrm_examples(tmp_path, lrm_lines())
    cell = examples["cell_id"].iloc[0]
    own, query = examples["model"].iloc[0], examples["query_id"].iloc[0]
    others = examples[(examples["query_id"] == query) & (examples["model"] != own)]
    rows, X = regime_rows(FAMILY, examples, "cold")
    assert len(rows) == 12
    assert not any(name.startswith(("context_", "run_")) for name in X)
    rows, X = regime_rows(FAMILY, examples, "warm")
    assert len(rows) == 12
    assert sorted(X.loc[cell, "context_output_tokens"]) == sorted(others["value"])
    assert set(X.loc[cell, "context_models"]) == set(others["model"])
    rows, X = regime_rows(FAMILY, examples, "pilot")
    assert len(rows) == 8
    assert X.loc[cell, "context_output_tokens"] == [examples.loc[examples["cell_id"] == cell, "value"].iloc[0]]
    assert not set(rows.index) & set(examples.index[~examples.duplicated("cell_id")])
    _, X = regime_rows(FAMILY, examples, "pilot_and_warm")
    assert len(X.loc[cell, "context_output_tokens"]) == 4


def test_a_set_without_repeats_has_no_pilots(tmp_path: Path) -> None:
    examples, _ = lrm_examples(tmp_path, lrm_lines(1))
    rows, _ = regime_rows(FAMILY, examples, "pilot_and_warm")
    assert rows.empty


def test_folds_test_every_query_once() -> None:
    examples = pd.DataFrame({"query_id": [f"q{i // 2}" for i in range(60)]})
    folds = list(query_folds(examples))
    tested = pd.concat([fold[fold["split"] == "test"] for fold in folds])
    assert sorted(tested.index) == list(range(60))
    for fold in folds:
        assert fold.groupby("query_id")["split"].nunique().max() == 1
