"""Which rows a fit reads, and that it is judged as the fit of these rows."""

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
from foretell.assets.nightly.drift import HISTORY
from foretell.assets.nightly.rows import pick_best
from foretell.assets.registry.resource import Tracking
from foretell.assets.resources import Workspace
from foretell.assets.store.digests import frame_digest
from foretell.assets.store.io import read_table, write_table
from foretell.assets.store.io_manager import ParquetIOManager
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline

FIRST_DAY = pd.Timestamp("2026-01-01", tz="UTC")
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


def test_the_rows_that_gain_most_beyond_luck_are_picked() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 400)
    noise -= noise.mean()
    assert pick_best({"own": noise, "public": noise + 0.01}) is None
    # The standard error of 400 differences of spread 1 is .05; with two choices 1.96 of them are needed.
    assert pick_best({"own": noise - 0.09, "public": noise}) is None
    assert pick_best({"own": noise - 0.11, "public": noise}) == "own"
    assert pick_best({"own": noise - 0.2, "public": noise - 0.3, "other": noise + 1}) == "public"


def test_the_fit_reads_its_rows_and_is_judged_as_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counted(frame: pd.DataFrame) -> str:
        hashed.append(len(frame))
        return frame_digest(frame)

    monkeypatch.setattr(pipeline, "frame_digest", counted)
    policy = tmp_path / "registry.yaml"
    policy.write_text("thinking_tokens: {min_window_queries: 50}", "utf-8")
    since = "2026-01-19"
    told = {"night": "2026-01-21", "champion": "1", "n_queries": 40, "verdict": "forecast drifted", "since": since}
    history = pd.DataFrame([{name: told.get(name, 0) for name in HISTORY}]).astype(HISTORY)
    write_table(history, tmp_path / "lake" / "thinking_tokens_drift.parquet")
    rows = requests(30, changed=18)

    @dg.asset
    def thinking_tokens_examples() -> pd.DataFrame:
        return rows

    resources = {
        "io_manager": ParquetIOManager(root=str(tmp_path / "lake")),
        "workspace": Workspace(home=str(tmp_path), starter=str(tmp_path)),
        "tracking": Tracking(uri="sqlite:///none.db", policy_file=str(policy)),
    }
    assets = [thinking_tokens_examples, *build_family_assets(CHEAP)[1:]]
    chosen = dg.AssetSelection.assets("thinking_tokens_examples", "thinking_tokens_model", "thinking_tokens_evaluation")
    result = dg.materialize(assets, selection=chosen, resources=resources)
    assert result.success
    (fit,) = read_table(tmp_path / "lake", "thinking_tokens_model").to_dict("records")
    assert len(hashed) == 1, "the fit was found by the digest that its table names"
    assert fit["n_samples"] == ((rows["split"] != "test") & (rows["started_at"] >= since)).sum()
    # Judging found that very fit in the memo: one folder, of the digest that the table names.
    assert [path.name for path in (tmp_path / "models" / "thinking_tokens").iterdir()] == [fit["digest"]]
    evaluation = read_table(tmp_path / "lake", "thinking_tokens_evaluation")
    whole = evaluation[(evaluation["segment"] == "all") & (evaluation["metric"] == "crps")]
    assert (whole["n_queries"] == ((rows["split"] == "test") & (rows["started_at"] >= since)).sum()).all()
