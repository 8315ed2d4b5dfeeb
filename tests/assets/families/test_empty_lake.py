"""A home into which nothing was ingested: champions learn from public figures, and ``--dataset lake`` says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.assets.families import get_family
from foretell.assets.judging.family import LAKE
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError

FAMILIES = ("benchmark_scores", "downstream_scaling")


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_ingested_is_no_obstacle_to_a_champion(family: str, tmp_path: Path) -> None:
    sources = Settings(home=tmp_path).sources
    examples = get_family(family).champion_examples(sources)
    assert len(examples) > 500
    with pytest.raises(DatasetError, match=f"lake holds nothing for {family} yet; run `foretell ingest PATH` first"):
        get_family(family).examples(LAKE, sources)
