"""Archives are read in time that grows with their members."""

from __future__ import annotations

import zipfile
from pathlib import Path

from foretell.assets.readers.reading import read_traces
from tests.assets.every_format import as_eval, sample


def test_the_list_of_members_is_read_once_for_all_samples(tmp_path: Path, monkeypatch) -> None:
    # It was read for each sample: 500, 1,000 and 2,000 samples took .9, 3.4 and 10.9 s.
    lists = []
    read_list = zipfile.ZipFile._RealGetContents
    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", lambda self: (lists.append(1), read_list(self)))
    path = tmp_path / "log.eval"
    path.write_bytes(as_eval([sample(i) for i in range(200)]))
    assert len(read_traces(path).rows) == 200
    assert len(lists) == 1
