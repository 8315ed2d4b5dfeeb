"""Four versions to load: two families, each with the code of today and with changed code."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.predictors.families import FAMILIES
from tests.assets.registry.versions import saved_version, thousandfold
from tests.predictors.downstream_scaling.synthetic_ladders import INPUTS as LADDER_INPUTS
from tests.predictors.downstream_scaling.synthetic_ladders import make_ladders
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of versions; ``*_changed`` answer 1,000 times as much."""
    folder = tmp_path_factory.mktemp("versions")
    runs = make_runs(20, n_replicates=2, seed=0)
    tokens = FAMILIES["thinking_tokens"].new_baselines()["global"]
    tokens.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])
    ladders = make_ladders(20, 0)
    X = ladders[[name for name in LADDER_INPUTS if name in ladders]]
    scaling = FAMILIES["downstream_scaling"].new_baselines()["last"]
    scaling.fit(X, ladders["value"], groups=ladders["query_id"])
    made = {
        "tokens": saved_version(tokens, runs[INPUTS].head(3), folder / "tokens"),
        "scaling": saved_version(scaling, X.head(3), folder / "scaling"),
    }
    changed = {f"{name}_changed": thousandfold(path, folder / f"{name}_changed") for name, path in made.items()}
    return made | changed
