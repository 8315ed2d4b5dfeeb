"""Publish what was written beside: on the disk first, then under its name, so that a power cut leaves old or new."""

import glob
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of `path`, which takes its name when the block ends, and goes if it fails.

    What a process of this machine left of `path` when it was killed is removed.
    """
    here = f".{path.name}.{socket.gethostname()}-"
    for left in path.parent.glob(f"{glob.escape(here)}*.tmp"):
        pid = left.name.removeprefix(here).partition("-")[0]
        if pid.isdigit() and not is_alive(int(pid)):
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{here}{os.getpid()}-", suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def publish_folder(temporary: Path, folder: Path) -> None:
    """Give a finished folder its name, which nothing else may have.

    Raises `OSError` if `folder` is there and holds something.
    """
    for path in temporary.rglob("*"):
        _sync(path)
    _sync(temporary)
    temporary.rename(folder)
    _sync(folder.parent)


def write_text_durably(text: str, path: Path) -> None:
    """Write a small file whole or not at all."""
    with written_beside(path) as temporary:
        temporary.write_text(text, "utf-8")


def is_alive(pid: int) -> bool:
    """True if a process of this number runs on this machine, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    """Have the kernel write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
