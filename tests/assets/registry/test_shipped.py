"""The predictor that comes with the package: it is whole, small, and the first version of a registry."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.registry.shipped import ABOUT, EXAMPLE, load_shipped
from foretell.collect.champion import save_shipped
from foretell.predictors.errors import DatasetError
from foretell.predictors.thinking_tokens.shift.public import public_runs

PUBLIC = Path(str(files("foretell") / "public"))


def test_what_ships_is_small_and_judged() -> None:
    for folder in (PUBLIC / "champions").iterdir():
        shipped = load_shipped(PUBLIC, folder.name)
        assert shipped is not None
        assert shipped.predictor.family == folder.name
        assert set(shipped.evaluation["predictor"]) >= {type(shipped.predictor).__name__}
        assert sum(path.stat().st_size for path in folder.iterdir()) < 6e6
        assert f"`foretell retrain {folder.name}`" in shipped.note


def test_what_is_made_again_is_whole(tmp_path: Path) -> None:
    """A second save once left the checksum of the table that it then wrote over."""
    shipped = load_shipped(PUBLIC, "thinking_tokens")
    assert shipped is not None
    example = pd.read_parquet(shipped.folder / EXAMPLE)
    for table in (shipped.evaluation, shipped.evaluation.head(3)):
        save_shipped(tmp_path, shipped.predictor, learnt_from="this", evaluation=table, example=example)
        again = load_shipped(tmp_path, "thinking_tokens")
        assert again is not None
        assert len(again.evaluation) == len(table)


def test_a_damaged_folder_is_refused_and_an_absent_one_is_none(tmp_path: Path) -> None:
    assert load_shipped(tmp_path, "thinking_tokens") is None
    (tmp_path / "champions" / "thinking_tokens").mkdir(parents=True)
    (tmp_path / "champions" / "thinking_tokens" / ABOUT).write_text("{}")
    with pytest.raises(DatasetError, match="install foretell again"):
        load_shipped(tmp_path, "thinking_tokens")


def test_public_figures_hold_no_text_and_never_mix_who_counted() -> None:
    measured, every = public_runs(), public_runs(("measured", "estimated"))
    assert set(measured["tier"]) == {"measured"}
    assert set(every["tier"]) == {"measured", "estimated"}
    assert "reasoning-gym" not in set(measured["source"])
    assert every["item"].str.fullmatch("[0-9a-f]{10}").all()
    words = every.select_dtypes(["str", "object"]).drop(columns="item")
    assert set(words) == {"source", "benchmark", "model", "reasoning_effort", "tier"}
    assert all(words[name].str.len().max() < 80 for name in words)
    assert pd.api.types.is_integer_dtype(every["prompt_chars"])
