"""Archives of the tests: homes and versions as former code left them."""

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack below `folder`, also with a Python before 3.11.4, whose `extractall` knows no filters."""
    with tarfile.open(archive) as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", None)
        opened.extractall(folder)
