"""Nights of bench/year_study.py: promotions are right by the truth, the store stays small, nothing is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.one_night import year_study

NIGHTS = 30


@pytest.mark.slow
def test_thirty_nights_promote_only_what_is_better_and_stay_small(tmp_path: Path) -> None:
    study = year_study()
    world = study.World(NIGHTS)
    log = study.simulate(tmp_path / "home", world, window_days=20).frame()
    assert len(log) == NIGHTS
    promoted = study.takeovers(log)
    assert (promoted["action"] == "promote").any()
    assert (promoted["gain"] > 0).all(), promoted[["night", "champion", "gain"]]
    known = log["risk"].dropna()
    assert known.iloc[-1] < known.iloc[0]
    # Ten versions are kept, the champion's former ones and the shadow; a version is about 3 MB.
    kept = 10 + int((promoted["action"] == "promote").sum()) + 2
    assert log["mlflow_mb"].iloc[-1] < 3.5 * kept + 5
    assert log["dagster_mb"].iloc[-1] < 1.5 * NIGHTS
    text = study.report(log, world, 20)
    assert f"{len(promoted)} promotions, {len(promoted)} of them right" in text


@pytest.mark.slow
@pytest.mark.parametrize("family", ["success", "benchmark_scores", "learning_curves", "downstream_scaling"])
def test_two_nights_of_every_family_land_fit_and_are_judged_by_the_truth(tmp_path: Path, family: str) -> None:
    study = year_study()
    world = study.WORLDS[family](2, queries={"success": 60, "benchmark_scores": 60}.get(family, 4))
    world.n_truth = 40
    log = study.simulate(tmp_path / "home", world, window_days=20).frame()
    assert log["champion"].notna().all()
    assert log["risk"].notna().all()
    assert (study.takeovers(log)["gain"] > 0).all()
    assert set(study.takeovers(log)["recipe"]) <= {"better", "same"}
    assert "of them right by the truth" in study.report(log, world, 20)
