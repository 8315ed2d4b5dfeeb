"""Where the work on tables is done: in this process, or on a Dask cluster.

The rest of the project names tables and functions of their parts; it never names an engine. `current_engine` is the
one that `pipelines.settings` asked for; without being asked it is this process, and Dask is not imported.
"""

from assets.engine.local import Engine, EngineError, LocalEngine, current_engine, open_engine
from assets.engine.tables import Part, Table, read_part, split_frame

__all__ = [
    "Engine",
    "EngineError",
    "LocalEngine",
    "Part",
    "Table",
    "current_engine",
    "open_engine",
    "read_part",
    "split_frame",
]
