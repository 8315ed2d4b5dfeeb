"""Embedded texts of a fit: each distinct one once, on disk (2 GB of them for 2,000,000 rows)."""

from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Codes, Floats
from ..boosting import row_slices

ROWS_MAPPED = 1_024
"""Records that are read at a time: what is mapped counts as memory of the process."""


class TextRecords:
    """Axes and statistics of texts, in the precision they are made in, in a file that ends with the process.

    The first record is of zeros.
    """

    def __init__(self, n_axes: int, n_statistics: int) -> None:
        self._dtype = np.dtype([("axes", np.float32, (n_axes,)), ("statistics", np.float64, (n_statistics,))])
        self._file = TemporaryFile()  # noqa: SIM115 - as long as the records
        self.n_features = n_axes + n_statistics
        self.append(np.zeros((1, n_axes)), np.zeros((1, n_statistics)))

    def append(self, axes: NDArray[Any], statistics: Floats) -> None:
        """Add a record for each row of `axes` (n_texts, n_axes) and `statistics` (n_texts, n_statistics)."""
        records = np.empty(len(axes), self._dtype)
        records["axes"], records["statistics"] = axes, statistics
        self._file.write(records.tobytes())
        self._file.flush()

    def features(self, at: Codes) -> Floats:
        """Features of the records `at` (n_asked,), in double precision; shape (n_asked, n_features)."""
        out = np.empty((len(at), self.n_features))
        for part in row_slices(len(at), ROWS_MAPPED):
            records = np.memmap(self._file, self._dtype, "r")[at[part]]
            out[part] = np.hstack([records["axes"], records["statistics"]])
        return out


@dataclass(frozen=True, eq=False)
class EmbeddedTexts:
    """Features of the texts of n rows, whose `codes` (n,) are places in `records`; 0 is a null text, of zeros.

    Indexed by rows it gives their features, shape (n_asked, n_features), in double precision.
    """

    records: TextRecords
    codes: Codes

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.codes), self.records.n_features

    def __getitem__(self, rows: Codes | slice, /) -> Floats:
        return self.records.features(self.codes[rows])
