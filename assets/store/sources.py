"""Where data sets come from: the repository's own files, a cache of public files, a mirror."""

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.predictors.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sources:
    """The places that a family reads its data sets from.

    `starter` is the folder of the committed sets (``data/starter``), `cache` where public files are kept once fetched,
    `mirror` a folder or URL that serves ``<mirror>/<host>/<path>`` instead of the original URLs. `home` is the state of
    this installation, `public` the folder of the public figures and of the predictors that come with the package.
    """

    starter: Path
    cache: Path
    mirror: str | None
    home: Path
    price_file: Path | None = None
    public: Path = field(default_factory=lambda: Path(str(files("foretell") / "public")))

    @property
    def snapshots(self) -> Path:
        """Folder of the prepared tables that lie beside a mirror.

        Raises `DatasetError` if there is no mirror in a folder, or nothing lies beside it.
        """
        if self.mirror is None or "://" in self.mirror:
            raise DatasetError("the prepared tables lie beside a mirror: set FORETELL_MIRROR to a folder")
        folder = Path(self.mirror).parent / "snapshots"
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no prepared tables lie beside the mirror that FORETELL_MIRROR names")
        return folder


def read_public(public: Path, table: str) -> "pd.DataFrame":
    """One table of the public figures.

    Raises
    ------
    DatasetError
        If it is missing or damaged.
    """
    import pandas as pd

    path = public / f"{table}.parquet"
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); install foretell again") from error
