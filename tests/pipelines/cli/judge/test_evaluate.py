"""`foretell evaluate` on public and bundled data."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.pipelines.cli.judge.evaluate import evaluate_dataset
from foretell.pipelines.settings import Settings


@pytest.mark.slow
@pytest.mark.mirror
def test_pricing_reversal_beats_the_model_benchmark_mean(mirror: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mirror=str(mirror))
    table = evaluate_dataset(settings, "thinking_tokens", "pricing-reversal")
    own = table[(table["predictor"] == "ThinkingTokensPredictor") & (table["segment"] == "all")]
    head = own[own["split"] == "within"].set_index("metric")
    assert (head.loc[["crps", "mae"], "gain_ci_lower"] > 0).all()
    assert 0.87 <= head.loc["coverage_90", "value"] <= 0.93
    # MiniMax was cut at 2,048 tokens in half of its runs: judged apart.
    capped = table[table["split"] == "within_capped"]["segment"]
    assert not table[table["split"] == "within"]["segment"].str.contains("MiniMax").any()
    assert len(capped) > 0
