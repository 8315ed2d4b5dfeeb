"""Whether the process that began something is still there to end it."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """True if a process of this number runs on this machine, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
