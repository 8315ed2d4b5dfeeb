"""The seam: tables in parts, the engine that is this process, and which one is current."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.engine import Engine, Table, current_engine, open_engine, read_part
from foretell.predictors.errors import DatasetError, InvalidInputError


def frame(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"key": rng.integers(0, 9, n).astype("uint64"), "value": rng.normal(size=n)})


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6), bytes_at_once=st.sampled_from([16, 112, 16_000]))
def test_group_brings_equal_keys_together_and_loses_nothing(sizes: list[int], bytes_at_once: int) -> None:
    frames = [frame(n, seed) for seed, n in enumerate(sizes)]
    bundles = Engine(bytes_at_once).group(lambda i: frames[i], range(len(frames)), "key", lambda bundle: bundle)
    keys = [set(bundle["key"]) for bundle in bundles]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert all(len(bundle) for bundle in bundles)
    whole = pd.concat(frames).sort_values(["key", "value"], ignore_index=True)
    found = pd.concat(bundles).sort_values(["key", "value"], ignore_index=True) if bundles else whole.iloc[:0]
    pd.testing.assert_frame_equal(found, whole)


def test_group_beyond_what_is_held_goes_over_the_disk_and_leaves_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[int] = []

    def look(bundle: pd.DataFrame) -> int:
        seen.append(len(list(tmp_path.glob("foretell-group-*/*/*.parquet"))))
        return len(bundle)

    sizes = Engine(bytes_at_once=50 * 16).group(lambda seed: frame(40, seed), range(5), "key", look)
    assert sum(sizes) == 200
    assert min(seen) > 5
    assert list(tmp_path.iterdir()) == []


def test_map_keeps_order() -> None:
    assert Engine().map(str, [3, 1, 2]) == ["3", "1", "2"]


def test_a_table_of_files_reads_what_is_asked_for(tmp_path: Path) -> None:
    for day in (2, 1):
        frame(day * 3, day).to_parquet(tmp_path / f"2026-01-0{day}.parquet")
    table = Table.under(tmp_path)
    assert [Path(str(part)).stem for part in table.parts] == ["2026-01-01", "2026-01-02"]
    assert table.n_rows == 9
    assert table.columns == ["key", "value"]
    pd.testing.assert_frame_equal(
        table.collect(["value"]), pd.concat([frame(3, 1), frame(6, 2)], ignore_index=True)[["value"]]
    )
    with pytest.raises(FileNotFoundError, match="no such table yet"):
        Table.under(tmp_path / "nothing")


def test_a_part_may_be_an_address_that_fsspec_knows() -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://lake/part.parquet", "wb") as file:
        frame(5).to_parquet(file)
    table = Table(("memory://lake/part.parquet",))
    assert table.n_rows == 5
    pd.testing.assert_frame_equal(table.collect(), frame(5))


@pytest.mark.parametrize("ask", [read_part, lambda path: Table((path,)).n_rows, lambda path: Table((path,)).columns])
def test_a_damaged_part_names_its_file_and_remedy(tmp_path: Path, ask) -> None:
    (tmp_path / "2026-01-01.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match=r"2026-01-01.parquet: damaged.*curate the day again"):
        ask(str(tmp_path / "2026-01-01.parquet"))


def test_without_being_asked_the_engine_is_this_process() -> None:
    assert current_engine().name == "local"
    with open_engine("local") as engine:
        assert engine is current_engine()
    with (
        pytest.raises(InvalidInputError, match="`FORETELL_ENGINE` must be one of local, dask, got 'spark'"),
        open_engine("spark"),
    ):
        pass
