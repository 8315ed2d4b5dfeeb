"""Who may read what is written: the home belongs to its user alone, a file asked for elsewhere follows the umask."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o077
"""What group and others are not given: prompts lie below the home."""

_umask_at_start: int | None = None


def keep_private() -> None:
    """Give what this process and its children make from now on to its user alone (700 and 600).

    The databases of Dagster and MLflow are made by their own code, so it takes the umask of the process.
    """
    global _umask_at_start
    before = os.umask(PRIVATE)
    if _umask_at_start is None:
        _umask_at_start = before


@contextmanager
def umask_of_the_caller() -> Iterator[None]:
    """Write, in the block, files that somebody asked for: with the umask that this process was started with."""
    if _umask_at_start is None:
        yield
        return
    private = os.umask(_umask_at_start)
    try:
        yield
    finally:
        os.umask(private)


def close_folder(folder: Path) -> None:
    """Take the rights of group and others from a folder of ours; one that is shared by design (``/tmp``) stays open."""
    status = folder.stat()
    is_shared = bool(status.st_mode & stat.S_ISVTX)
    if status.st_mode & PRIVATE and status.st_uid == os.geteuid() and not is_shared:
        folder.chmod(stat.S_IMODE(status.st_mode) & ~PRIVATE)
