"""The assets of the model ladder, in process; and the committed ladder."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.downstream_scaling.assets import ladder_samples, model_ladder
from foretell.assets.families.downstream_scaling.ladder import ladder_scores, load_ladder
from foretell.assets.resources import Workspace
from tests.conftest import ROOT

pytest.importorskip("torch")

STARTER = ROOT / "data" / "starter"


def _workspace(folder: Path, starter: Path) -> Workspace:
    return Workspace(starter=str(starter), home=str(folder / "home"))


@pytest.mark.slow
def test_tiny_ladder_materialises_and_its_tables_are_read_back(tmp_path: Path) -> None:
    config = {"ops": {"model_ladder": {"config": {"tiny": True, "widths": [4]}}}}
    workspace = _workspace(tmp_path, tmp_path)
    result = dg.materialize([model_ladder], run_config=config, resources={"workspace": workspace})
    assert result.success
    metadata = result.asset_materializations_for_node("model_ladder")[0].metadata
    assert metadata["whole"].value
    assert metadata["models"].value == 1
    (tmp_path / "ladder").symlink_to(tmp_path / "home" / "ladder" / "tiny" / "tables")
    read = dg.materialize([ladder_samples], resources={"workspace": workspace})
    pd.testing.assert_frame_equal(read.output_for_node("ladder_samples"), result.output_for_node("model_ladder"))


@pytest.fixture(scope="module")
def ladder() -> dict[str, pd.DataFrame]:
    return load_ladder(STARTER)


def test_committed_ladder_is_what_was_asked_for(ladder: dict[str, pd.DataFrame]) -> None:
    runs = ladder["runs"]
    first = runs[runs["seed"] == 0].sort_values("n_params")
    assert len(first) >= 7
    assert first["n_params"].iloc[-1] / first["n_params"].iloc[0] >= 100
    assert first["train_flops"].iloc[-1] / first["train_flops"].iloc[-2] >= 5
    ratio = runs["n_train_tokens"] / runs["n_params"]
    assert ratio.between(200, 205).all()
    assert ladder["samples"]["checkpoint"].nunique() >= 4
    assert ladder["samples"]["item_id"].nunique() >= 2_000
    assert ladder["descriptions"]["benchmark"].nunique() >= 24
    assert sum(path.stat().st_size for path in (STARTER / "ladder").iterdir()) < 5e6


def test_committed_scores_rise_with_size_and_the_draws_agree_with_the_exact_rates(
    ladder: dict[str, pd.DataFrame],
) -> None:
    final = ladder["samples"][ladder["samples"]["checkpoint"] == 1]
    exact = final["exact_pass_rate"].astype("float64")
    means = exact.groupby([final["seed"], final["n_params"]]).mean()
    for _, by_size in means.groupby(level=0):
        assert by_size.is_monotonic_increasing
    # Standardised differences between draws and exact rates: mean 0, standard deviation 1 where draws are many.
    usable = exact.between(0.05, 0.95)
    z = (final["pass_rate"].astype("float64") - exact)[usable]
    z /= np.sqrt(exact * (1 - exact) / final["n_draws"])[usable]
    assert abs(z.mean()) < 5 / np.sqrt(len(z))
    assert z.std() == pytest.approx(1.0, abs=0.05)


def test_committed_ladder_gives_scores_of_described_benchmarks(ladder: dict[str, pd.DataFrame]) -> None:
    descriptions, runs, models = ladder_scores(STARTER)
    assert len(descriptions) == 3 * ladder["descriptions"]["benchmark"].nunique()
    assert runs["score"].between(0, 100).all()
    assert len(runs) == len(models) * len(descriptions)
    assert models["n_params"].is_unique
