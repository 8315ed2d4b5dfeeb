"""Where the work on tables is done: in this process, or on a Dask cluster.

The rest of the project names tables and functions of their parts; it never names an engine. `current_engine` is the
one that `foretell.pipelines.settings` asked for; without being asked it is this process, and Dask is not imported.
"""

from foretell.assets.engine.local import Engine, EngineError, current_engine, open_engine
from foretell.assets.engine.tables import TABLE_VERSION, VERSION_KEY, Part, Table, numbered, read_part

__all__ = [
    "TABLE_VERSION",
    "VERSION_KEY",
    "Engine",
    "EngineError",
    "Part",
    "Table",
    "current_engine",
    "numbered",
    "open_engine",
    "read_part",
]
