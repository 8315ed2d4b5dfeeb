"""What is the same has the same digest, and nothing else has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.store.digests import file_digest, fit_digest, folder_digest, frame_digest, lists_as_text


def curves() -> pd.DataFrame:
    return pd.DataFrame({"name": ["a", "b"], "values": [[1.0, 2.0], [3.0]], "n": [1, 2]})


def test_lists_become_text_and_the_rest_stays() -> None:
    told = lists_as_text(curves())
    assert told["values"].tolist() == ["[1.0, 2.0]", "[3.0]"]
    pd.testing.assert_frame_equal(told[["name", "n"]], curves()[["name", "n"]])
    assert lists_as_text(told).equals(told), "text is left as it is"
    assert told.duplicated().sum() == 0


def test_arrays_and_lists_of_the_same_numbers_are_one_content() -> None:
    arrays = curves().assign(values=[np.array([1.0, 2.0]), np.array([3.0])])
    assert frame_digest(arrays) == frame_digest(curves())


def test_any_change_of_content_names_types_or_order_changes_the_digest() -> None:
    table = curves()
    others = [
        table.assign(values=[[1.0, 2.0], [3.5]]),
        table.assign(values=[[1.0], [2.0, 3.0]]),
        table.assign(n=table["n"].astype("float64")),
        table.rename(columns={"n": "m"}),
        table.iloc[::-1],
        table.iloc[:1],
        table.assign(values=[[1.0, 2.0], None]),
    ]
    digests = [frame_digest(other) for other in (table, *others)]
    assert len(set(digests)) == len(digests)
    assert frame_digest(table.set_axis([5, 6])) == digests[0], "the index is no content"


def test_parts_of_a_fit_are_told_apart() -> None:
    assert fit_digest("a", "bc") != fit_digest("ab", "c")
    assert fit_digest("a", "bc") == fit_digest("a", "bc")


def test_a_folder_is_its_names_and_contents_wherever_it_lies(tmp_path: Path) -> None:
    for root in ("one", "other"):
        (tmp_path / root / "sub").mkdir(parents=True)
        (tmp_path / root / "sub" / "code.py").write_text("x = 1\n", "utf-8")
        (tmp_path / root / "note.txt").write_text(root, "utf-8")
    one, other = tmp_path / "one", tmp_path / "other"
    assert folder_digest(one) != folder_digest(other)
    assert folder_digest(one, ".py") == folder_digest(other, ".py")
    (other / "sub" / "code.py").rename(other / "code.py")
    assert folder_digest(one, ".py") != folder_digest(other, ".py")
    assert file_digest(one / "sub" / "code.py") == hashlib.sha256(b"x = 1\n").hexdigest()
