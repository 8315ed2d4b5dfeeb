"""`foretell floor` on data whose floor is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.assets.families import get_family
from foretell.assets.judging.floors import floor_table
from foretell.pipelines.settings import Settings

CHOSEN = get_family("thinking_tokens")


def test_floor_of_the_starter_rests_on_random_repeats(installed) -> None:
    floors = floor_table(CHOSEN, CHOSEN.examples("lake", installed.settings.sources), dataset="lake")
    floors = floors.set_index(["segment", "metric"])
    whole = floors.loc[("all", "crps")]
    assert whole["floor_source"].startswith("repeats")
    assert 0 < whole["floor_ci_lower"] < whole["noise_floor"] < whole["floor_ci_upper"]


@pytest.mark.mirror
def test_floor_on_aime_is_the_one_measured_by_hand(mirror: Path, tmp_path: Path) -> None:
    # Reference: within-cell sd .243 and MAE floor .170 in log tokens over three models, by hand from the same
    # files (per-model sd .184, .265, .270). The MAE floor here is the combination of the in-sample and the
    # leave-one-out mean, which lies 2 % lower.
    settings = Settings(home=tmp_path, mirror=str(mirror))
    name = "pricing-reversal"
    floors = floor_table(CHOSEN, CHOSEN.examples(name, settings.sources), dataset=name)
    floors = floors.set_index(["segment", "metric"])
    aime = floors.loc["benchmark=aime,replicated"]
    assert aime.loc["mse", "noise_floor"] ** 0.5 == pytest.approx(0.243, abs=0.001)
    assert aime.loc["mae", "noise_floor"] == pytest.approx(0.170, abs=0.005)
    for model, sd in (("gemini-3-flash-preview", 0.184), ("gpt-5-mini", 0.265), ("gpt-5.2", 0.270)):
        floor = floors.loc[(f"benchmark=aime,model={model}", "mse"), "noise_floor"]
        assert floor**0.5 == pytest.approx(sd, abs=0.001)
    assert "not drawn at random" in floors.loc[("benchmark=aime", "mse"), "floor_source"]
    assert floors.loc[("benchmark=gpqa", "mse"), "floor_source"] == "none: one run per query"
