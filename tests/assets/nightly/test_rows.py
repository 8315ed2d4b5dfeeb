"""How much past a fit reads: a shorter window only where the past is another, chosen without test queries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging import pipeline
from foretell.assets.nightly.assets import build_family_assets
from foretell.assets.nightly.rows import choose_window, pick_best, within_window
from foretell.assets.registry.policy import Policy, load_policies
from foretell.assets.registry.resource import Tracking
from foretell.assets.resources import Workspace
from foretell.assets.store.digests import frame_digest
from foretell.assets.store.io import read_table
from foretell.assets.store.io_manager import ParquetIOManager
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline

FIRST_DAY = pd.Timestamp("2026-01-01", tz="UTC")
POLICY = Policy(window="backtest", window_candidates=(5, 10), window_backtest_days=5, min_window_queries=50)
CHEAP = replace(
    FAMILY,
    predictor=lambda: ModelBaseline(),
    baselines=lambda: {"global": GlobalBaseline()},
    reference="global",
    segments=(),
)


def requests(nights: int, *, changed: int | None = None, seed: int = 0, per_night: int = 40) -> pd.DataFrame:
    """Requests of two models; from the night `changed` on, one of them writes four times as much."""
    rng = np.random.default_rng(seed)
    night = np.repeat(np.arange(nights), per_night)
    frame = pd.DataFrame(
        {
            "query_id": [f"q{seed}-{i}" for i in range(night.size)],
            "model": rng.choice(["short", "long"], night.size),
            "started_at": FIRST_DAY + pd.to_timedelta(night, unit="D") + pd.Timedelta(hours=3),
            "replicate": 0,
            "is_censored": False,
            "is_capped": False,
            "repeat_prob": 1.0,
        }
    )
    factor = np.where((frame["model"] == "long") & (night >= (nights if changed is None else changed)), 4.0, 1.0)
    frame["value"] = np.exp(rng.normal(4.0, 0.4, night.size)) * factor
    frame["cell_id"] = frame["query_id"] + "|" + frame["model"]
    frame["split"] = assign_split(frame["query_id"])
    return frame


def test_the_window_that_gains_most_beyond_luck_is_picked() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 400)
    noise -= noise.mean()
    assert pick_best({7: noise, 14: noise + 0.01}) is None
    # The standard error of 400 differences of spread 1 is .05; with two windows 1.96 of them are needed.
    assert pick_best({7: noise - 0.09, 14: noise}) is None
    assert pick_best({7: noise - 0.11, 14: noise}) == 7
    assert pick_best({7: noise - 0.2, 14: noise - 0.3, 30: noise + 1}) == 14


def test_a_stable_past_is_read_whole() -> None:
    picked = [choose_window(CHEAP, requests(30, seed=seed), POLICY).days for seed in range(10)]
    assert picked.count(None) >= 9


def test_after_a_change_only_what_came_since_is_read() -> None:
    choice = choose_window(CHEAP, requests(30, changed=18), POLICY)
    assert choice.days == 5
    assert "5 days: gain in crps over all days on" in choice.reason


def test_no_test_query_takes_part_in_the_choice() -> None:
    rows = requests(30, changed=18)
    spoilt = rows.assign(value=rows["value"].where(rows["split"] != "test", 1e6))
    assert choose_window(CHEAP, spoilt, POLICY) == choose_window(CHEAP, rows, POLICY)


@pytest.mark.parametrize(
    ("rows", "policy", "told"),
    [
        (requests(30, changed=18), Policy(), "as mlflow/registry.yaml says"),
        (
            requests(30, changed=18).assign(started_at=pd.Series(pd.NaT, dtype="datetime64[us, UTC]")),
            POLICY,
            "no row tells its day",
        ),
        (requests(3), POLICY, "0 windows"),
        (requests(30, changed=18), POLICY.model_copy(update={"min_window_queries": 10_000}), "0 windows"),
    ],
)
def test_where_nothing_can_be_told_all_days_are_read(rows: pd.DataFrame, policy: Policy, told: str) -> None:
    choice = choose_window(CHEAP, rows, policy)
    assert choice.days is None
    assert told in choice.reason


def test_a_window_keeps_whole_days_and_every_test_row() -> None:
    rows = requests(30)
    kept = within_window(rows, 5)
    learn = kept[kept["split"] != "test"]
    assert learn["started_at"].dt.floor("D").nunique() == 5
    assert learn["started_at"].max() == rows.loc[rows["split"] != "test", "started_at"].max()
    assert (kept["split"] == "test").sum() == (rows["split"] == "test").sum()
    assert within_window(rows, None) is rows


def test_the_fit_reads_its_window_and_is_judged_as_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counted(frame: pd.DataFrame) -> str:
        hashed.append(len(frame))
        return frame_digest(frame)

    monkeypatch.setattr(pipeline, "frame_digest", counted)
    policy = tmp_path / "registry.yaml"
    policy.write_text(
        "thinking_tokens: {window: backtest, window_candidates: [5], window_backtest_days: 5, min_window_queries: 50}",
        "utf-8",
    )
    rows = requests(30, changed=18)

    @dg.asset
    def thinking_tokens_examples() -> pd.DataFrame:
        return rows

    folders = {name: str(tmp_path / name) for name in ("landing", "models", "reports", "starter", "cache")}
    resources = {
        "io_manager": ParquetIOManager(root=str(tmp_path / "lake")),
        "workspace": Workspace(home=str(tmp_path), **folders),
        "tracking": Tracking(uri="sqlite:///none.db", policy_file=str(policy)),
    }
    assets = [thinking_tokens_examples, *build_family_assets(CHEAP)]
    chosen = dg.AssetSelection.assets("thinking_tokens_examples", "thinking_tokens_model", "thinking_tokens_evaluation")
    result = dg.materialize(assets, selection=chosen, resources=resources)
    assert result.success
    (fit,) = read_table(tmp_path / "lake", "thinking_tokens_model").to_dict("records")
    assert fit["window_days"] == 5
    assert len(hashed) == 1, "the fit was found by the digest that its table names"
    assert fit["n_samples"] == ((rows["split"] != "test") & (rows["started_at"] >= "2026-01-26")).sum()
    # Judging found that very fit in the memo: one folder, of the digest that the table names.
    assert [path.name for path in (tmp_path / "models" / "thinking_tokens").iterdir()] == [fit["digest"]]
    evaluation = read_table(tmp_path / "lake", "thinking_tokens_evaluation")
    whole = evaluation[(evaluation["segment"] == "all") & (evaluation["metric"] == "crps")]
    assert (whole["n_queries"] == (rows["split"] == "test").sum()).all()


@pytest.mark.parametrize("fault", ["window: sometimes", "window_candidates: [1]", "window_candidates: []"])
def test_an_impossible_window_is_named(tmp_path: Path, fault: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(f"thinking_tokens: {{{fault}}}", "utf-8")
    with pytest.raises(InvalidInputError, match=rf"registry\.yaml: thinking_tokens\.{fault.split(':')[0]}"):
        load_policies(file)
