"""What was trained on: which cells, and which of them a request means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Codes, Mask
from ...model_names import ModelNames, model_keys
from ..pooling.hierarchy import cell_keys
from .cells import CELL

ANOTHER_SOURCE = "another source"
"""Stands for the source of a request that comes from none that was seen."""

KNOWN = ("cell", "model", "benchmark", "neither")
"""What may have been seen of a request, from most to least; see `SeenCells.describe`."""

Cell = tuple[str, str, str, str]


class SeenCells:
    """The cells of past runs, as `CELL`; what is null is the empty string.

    Parameters
    ----------
    n_runs : dict
        Number of runs by cell.
    n_anchors : dict, optional
        Of these, those that came after the fit.
    public : collection of str, optional
        Sources of which only public figures are known: no request is taken to come from one unless it names a
        benchmark of theirs, and how one's own runs spell models and efforts goes first.
    """

    def __init__(
        self, n_runs: dict[Cell, int], n_anchors: dict[Cell, int] | None = None, public: Collection[str] = ()
    ) -> None:
        self.n_runs = n_runs
        self.n_anchors = n_anchors or {}
        self.public = frozenset(public)
        own = [cell for cell in n_runs if cell[0] not in self.public]
        self._sources = {cell[0] for cell in own}
        self.sources = frozenset(cell[0] for cell in n_runs)
        self.models = {cell[2] for cell in n_runs}
        self._own_models = {cell[2] for cell in own}
        self._names = ModelNames(self._own_models), ModelNames(self.models)
        self._of_benchmark: dict[str, list[tuple[str, str, int]]] = {}
        self._n_of_model: Counter[str] = Counter()
        for (source, benchmark, model, _), n in n_runs.items():
            self._of_benchmark.setdefault(benchmark, []).append((source, model, n))
            self._n_of_model[model] += n
        self._efforts: dict[tuple[str, ...], set[str]] = {}
        for cells in (own, [cell for cell in n_runs if cell[0] in self.public]):
            known = set(self._efforts)
            for cell in cells:
                for key in (cell[:3], cell[2:3]):
                    if key not in known:
                        self._efforts.setdefault(key, set()).add(cell[3])

    @property
    def n_public(self) -> int:
        """Number of runs that are public figures."""
        return sum(n for cell, n in self.n_runs.items() if cell[0] in self.public)

    @classmethod
    def of(cls, X: pd.DataFrame) -> Self:
        """Count the runs `X` (columns of `Requests`) by cell."""
        codes, rows = _rows(X)
        return cls(dict(zip(rows, np.bincount(codes, minlength=len(rows)).tolist(), strict=True)))

    def with_anchors(self, cells: Iterable[Cell]) -> Self:
        """These and the cells of anchor runs, one for every run."""
        more = Counter(cells)
        return type(self)(Counter(self.n_runs) + more, Counter(self.n_anchors) + more, self.public)

    def respelt(self, public: pd.DataFrame) -> pd.DataFrame:
        """Public figures with models spelt as own runs spell them, others by their plainest form."""
        own, _ = self._names
        names = {name: own.find(name) or model_keys(name)[-1] for name in public["model"].unique()}
        return public.assign(model=public["model"].map(names))

    def with_public(self, X: pd.DataFrame) -> Self:
        """These and the cells of public figures, whose sources are none of one's own."""
        return type(self)({**SeenCells.of(X).n_runs, **self.n_runs}, self.n_anchors, set(X["source"]))

    @property
    def configs(self) -> list[tuple[str, str]]:
        """Pairs of model and effort (empty where none was given)."""
        return sorted({cell[2:] for cell in self.n_runs})

    @property
    def own_configs(self) -> list[tuple[str, str]]:
        """The same of one's own runs."""
        return sorted({cell[2:] for cell in self.n_runs if cell[0] not in self.public})

    def spelling(self, models: pd.Series) -> pd.Series:
        """`models` by the names that they were seen under; unknown ones as they are."""
        same = {model: self._spelt(model) for model in models.unique()}
        return models if all(a == b for a, b in same.items()) else models.map(same)

    def cells_of(self, X: pd.DataFrame, *, same_source: bool = False) -> tuple[Codes, pd.DataFrame]:
        """Which cell each request means.

        A name of a model in another spelling is that model. A request without an effort means the only effort that its
        model was seen with on its benchmark, else the only one at all. A request without a source means the source that
        its benchmark was seen in, that of the most runs where there are several (of its model, where it ran there); or,
        for a model that was seen on another benchmark, the only source that there is; else a source of its own. Where
        no source was named while learning, none that is named later counts. With `same_source` the column `source` is
        one that was found in this way already, and stands.

        Returns
        -------
        codes : ndarray of int of shape (n_samples,)
        cells : DataFrame of shape (n_cells, 4)
            Columns `CELL`, distinct.
        """
        codes, rows = _rows(X)
        meant = [self._meant(*cell, same_source) for cell in rows]
        positions: dict[Cell, int] = {}
        places = np.array([positions.setdefault(cell, len(positions)) for cell in meant], dtype=np.intp)
        return places[codes], pd.DataFrame(list(positions), columns=CELL, dtype=object)

    def _spelt(self, model: str) -> str:
        own, every = self._names
        return own.find(model) or every.find(model) or model

    def _meant(self, source: str, benchmark: str, model: str, effort: str, same_source: bool) -> Cell:
        model = self._spelt(model)
        if not same_source:
            source = self._source(source, benchmark, model)
        if not effort:
            efforts = self._efforts.get((source, benchmark, model)) or self._efforts.get((model,), set())
            effort = next(iter(efforts)) if len(efforts) == 1 else ""
        return source, benchmark, model, effort

    def _source(self, source: str, benchmark: str, model: str) -> str:
        if source and self._sources != {""}:
            return source
        candidates: dict[str, tuple[bool, int, int]] = {}
        for where, who, n in self._of_benchmark.get(benchmark, ()):
            own, same, every = candidates.get(where, (where not in self.public, 0, 0))
            candidates[where] = (own, same + n * (who == model), every + n)
        if candidates:
            return max(candidates, key=lambda where: (candidates[where], where))
        only = len(self._sources) == 1 and model in self._own_models
        return next(iter(self._sources)) if only else ANOTHER_SOURCE

    def describe(self, cells: pd.DataFrame) -> tuple[list[str], list[str]]:
        """What is known of each cell, and the short sentence that says what a forecast of it rests on.

        Known is the ``cell``; the ``model`` (seen, but not so on this benchmark: the benchmark, or the two together, or
        the effort is new); the ``benchmark`` (other models were seen on it); or ``neither``.
        """
        pairs = [self._described(*cell) for cell in as_cells(cells)]
        return [known for known, _ in pairs], [basis for _, basis in pairs]

    def _described(self, source: str, benchmark: str, model: str, effort: str) -> tuple[str, str]:
        n = self.n_runs.get((source, benchmark, model, effort), 0)
        where = "this benchmark" if benchmark else "requests without a benchmark"
        if n:
            anchors = self.n_anchors.get((source, benchmark, model, effort), 0)
            few = f", {anchors:,} of them after training" if 0 < anchors < n else ", all after training"
            public = " in public figures" if source in self.public else ""
            return "cell", f"{_runs(n)} of this model on {where}{public}{few if anchors else ''}"
        here = {who for where, who, _ in self._of_benchmark.get(benchmark, ()) if where == source}
        of_model = self._n_of_model[model]
        public = "" if model in self._own_models or not of_model else " in public figures"
        if of_model and model in here:
            return "model", f"{_runs(of_model)} of this model{public}, on {where} at other efforts only"
        if of_model and here:
            return "model", f"{_runs(of_model)} of this model elsewhere{public}, {_models(len(here))} on {where}"
        if of_model:
            return "model", f"{_runs(of_model)} of this model{public}, none on {where}"
        if here:
            return "benchmark", f"{_models(len(here))} on {where}, no run of this one"
        relation = "of this source" if source in self._sources else "of other sources"
        return "neither", f"neither model nor benchmark was seen: {_models(len(self.models))} {relation}"

    def is_trained(self, cells: pd.DataFrame) -> Mask:
        """True for cells that the fit has seen own runs of, not anchors or public figures alone; shape (n_cells,)."""
        n_trained = [
            0 if cell[0] in self.public else self.n_runs.get(cell, 0) - self.n_anchors.get(cell, 0)
            for cell in as_cells(cells)
        ]
        return np.array(n_trained, dtype=np.intp) > 0

    def state(self) -> dict[str, Any]:
        """JSON from which `from_state` restores the counts."""
        cells = [[*cell, n, self.n_anchors.get(cell, 0)] for cell, n in self.n_runs.items()]
        return {"cells": cells, "public": sorted(self.public)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Restore what `state` returned."""
        cells = {(a, b, c, d): (n, anchors) for a, b, c, d, n, anchors in state["cells"]}
        anchored = {cell: anchors for cell, (_, anchors) in cells.items() if anchors}
        return cls({cell: n for cell, (n, _) in cells.items()}, anchored, state["public"])


def as_cells(cells: pd.DataFrame) -> list[Cell]:
    """The rows of a table of cells, as keys."""
    return [(str(a), str(b), str(c), str(d)) for a, b, c, d in zip(*(cells[name] for name in CELL), strict=True)]


def _rows(X: pd.DataFrame) -> tuple[Codes, list[Cell]]:
    """Which cell each row names, and the cells as they are written."""
    positions: dict[Cell, int] = {}
    cells = zip(*(cell_keys(X, [name]).tolist() for name in CELL), strict=True)
    codes = [positions.setdefault((str(a), str(b), str(c), str(d)), len(positions)) for a, b, c, d in cells]
    return np.array(codes, dtype=np.intp), list(positions)


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n:,} runs"


def _models(n: int) -> str:
    return "1 model" if n == 1 else f"{n:,} models"
