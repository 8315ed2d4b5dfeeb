"""Forecasts of requests whose model, benchmark or source was not seen, and what anchors say of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, Mask
from ..known_runs.context import CONFIG, FlatContext
from ..pooling.hierarchy import cell_keys
from .anchors import beyond, summarise_anchors
from .cells import CELL, CellTable, summarise_cells
from .forecast import ShiftForecaster
from .lengths import LENGTH, PromptLengths, by_length, log_lengths
from .queries import KnownRuns, QueryPrior, RequestForecasts, forecast_requests, query_effects
from .seen import Cell, SeenCells, as_cells
from .texts import TextEffects, public_texts

MAX_CAPPED = 0.2
"""Cells with a larger share of runs that were cut off are not learnt from: their mean is not known."""

MAX_CELLS = 1_000
"""Cells that a fit learns from, those with most queries; its time grows with their cube."""

MAX_RUNS = 2_000
"""Runs of a cell that are read, the last ones."""

TEXT_SLOPE, TEXT_SLOPE_SD = 0.85, 0.55
"""Of a query's effect on what its text makes one expect, on benchmarks that were left out, and its standard deviation
between them (measured on nine public sources)."""


LEVEL_SLOPE, LEVEL_SLOPE_SD = 0.5, 0.5
"""The same where nothing is known of the source, about texts at large: what is learnt inside benchmarks says less of
their levels."""


@dataclass(frozen=True)
class Anchors:
    """Runs `X` (columns of `Requests`) that came after the fit; arrays have shape (n_anchors,).

    `log_tokens` is a lower bound where `is_censored`; `text` is what the text adds, see `UnseenCells.fit`, NaN where
    there is none; `context` are runs of the anchors' queries on other models.
    """

    X: pd.DataFrame
    log_tokens: Floats
    is_censored: Mask
    query: NDArray[np.object_]
    text: Floats
    context: FlatContext | None = None


@dataclass(frozen=True)
class _TextLine:
    """How queries of a benchmark follow their text: a line through `centre`; `variance` is that of their texts.

    What a text makes one expect is learnt from the runs of the fit (`is_own`) or from public prompts.
    """

    centre: float
    variance: float
    slope: float = TEXT_SLOPE
    slope_sd: float = TEXT_SLOPE_SD
    is_own: bool = True


class UnseenCells:
    """What is known of requests in cells without runs: from other cells, texts, known runs and anchors."""

    def fit(
        self,
        X: pd.DataFrame,
        log_tokens: Floats,
        is_censored: Mask,
        query: NDArray[np.object_],
        text: Floats | None = None,
        public: pd.DataFrame | None = None,
    ) -> Self:
        """Learn from runs `X` (columns of `Requests`); arrays have shape (n_runs,).

        Runs that were cut off are left out, and so are cells with more than a fifth of them. `text` holds the log
        tokens that the text makes one expect more of, whatever the model; NaN where it was not read. `public` are runs
        to learn from beside these (`public.public_runs`); of sources that `X` has, none is read.
        """
        self.seen_ = SeenCells.of(X)
        frame = pd.DataFrame({name: cell_keys(X, [name]) for name in CELL})
        table = _summarised(frame, log_tokens, is_censored, query, MAX_CELLS)
        self.lengths_ = PromptLengths.of(frame, log_lengths(X))
        if public is not None:
            public = self.seen_.respelt(public[~public["source"].isin({cell[0] for cell in self.seen_.n_runs})])
        if public is not None and len(public):
            tokens, cut = public["output_tokens"].to_numpy(np.float64), public["is_censored"].to_numpy(bool)
            item, room = public["item"].to_numpy(object), MAX_CELLS - len(table)
            table = table.joined(_summarised(public[CELL], np.log(tokens), cut, item, room))
            self.seen_ = self.seen_.with_public(public)
            self.lengths_ = self.lengths_.joined(PromptLengths.of(public, log_lengths(public)))
        table = replace(table, cells=self.lengths_.placed(table.cells))
        self.before_ = self.forecaster_ = ShiftForecaster.fit(table)
        self.texts_ = None if public is None else public_texts()
        self.lines_ = {} if text is None else _text_lines(frame, query, text)
        if self.texts_ is not None and public is not None:
            sources, told = set(public["source"]), self.texts_.benchmarks.items()
            lines = {key: public_line(self.texts_, *values) for key, values in told if key[0] in sources}
            self.lines_ = {**lines, **self.lines_}
        self.anchors_: CellTable | None = None
        return self

    def forecast(
        self,
        X: pd.DataFrame,
        text: Floats | None = None,
        context: FlatContext | None = None,
        meant: tuple[Codes, pd.DataFrame] | None = None,
    ) -> RequestForecasts:
        """Forecast the requests `X`; texts and known runs may be given as for `fit`, cells as `seen_` tells them."""
        codes, cells = self.lengths_.split(*(self.seen_.cells_of(X) if meant is None else meant), log_lengths(X))
        runs, cells = self._known_runs(cells, codes, context)
        forecasts = self.forecaster_.forecast(cells)
        prior = self._prior(cells, codes, self._expected(X, cells, codes, text))
        return forecast_requests(forecasts, prior, runs)

    def learnt_since(self, cells: pd.DataFrame) -> Floats:
        """Log tokens by which anchors have moved the means of cells (columns `CELL`); 0 where a cell has none."""
        moved = np.array([cell in self.seen_.n_anchors for cell in as_cells(cells)], dtype=bool)
        shift = np.zeros(len(cells))
        if self.anchors_ is not None and moved.any():
            asked = self.lengths_.placed(cells[moved].reset_index(drop=True))
            shift[moved] = self.forecaster_.forecast(asked).mean - self.before_.forecast(asked).mean
        return shift

    def adapted(self, anchors: Anchors) -> UnseenCells:
        """A copy that knows the cells of `anchors`, all at once: their order does not matter.

        Anchors bear on their own cell most, and through what cells share on every other. Known runs of their queries
        say which of them are hard; where those runs are in cells that were not seen, they are anchors too.
        """
        twin = copy.copy(self)
        codes, cells = self.seen_.cells_of(anchors.X)
        length = log_lengths(anchors.X)
        twin.lengths_ = self.lengths_.joined(PromptLengths.of(cells.iloc[codes], length))
        codes, cells = twin.lengths_.split(codes, cells, length)
        text = self._expected(anchors.X, cells, codes, anchors.text, everywhere=True)
        lines = _text_lines(cells.iloc[codes], np.arange(len(codes)), text)
        if self.texts_ is not None:
            lines = {key: public_line(self.texts_, line.centre, line.variance) for key, line in lines.items()}
        twin.lines_ = {**lines, **self.lines_}
        context = anchors.context
        if context is not None:  # an anchor is no pilot of the one that it informs
            context = context.select(cell_keys(context.frame, CONFIG) != cell_keys(anchors.X, CONFIG)[context.target])
        runs, cells = self._known_runs(cells, codes, context)
        prior = twin._prior(cells, codes, text)
        y = self._completed(anchors, cells, prior)
        twin._take_in_unseen_runs(cells, anchors, codes, runs)
        forecasts = twin.forecaster_.forecast(cells)
        effect, explained = prior.effect, np.zeros(len(y))
        if runs is not None:
            effect, explained = query_effects(forecasts, prior, runs)
        twin._take_in(cells, codes, summarise_anchors(cells, forecasts, codes, anchors.query, y, effect, explained))
        read = cells.iloc[codes].assign(cell=codes, y=y, text=text, noise=forecasts.within.mean(axis=1)[codes])
        twin._learn_slopes(read[(explained == 0) & ~np.isnan(text)])
        return twin

    def _take_in(self, cells: pd.DataFrame, codes: Codes, table: CellTable) -> None:
        """Add anchors, in cells `codes`, to those of before, in place."""
        self.anchors_ = table if self.anchors_ is None else self.anchors_.joined(table)
        self.forecaster_ = self.before_.joined(self.anchors_)
        self.seen_ = self.seen_.with_anchors(as_cells(cells.iloc[codes]))

    # -- parts ---------------------------------------------------------------------------------------
    def _known_runs(
        self, cells: pd.DataFrame, codes: Codes, context: FlatContext | None
    ) -> tuple[KnownRuns | None, pd.DataFrame]:
        """Known runs by cell, which is of the source and benchmark of their request; and the cells with theirs."""
        if context is None or not len(context.target):
            return None, cells
        place = cells.iloc[codes[context.target]]
        frame = context.frame.assign(source=place["source"].to_numpy(), benchmark=place["benchmark"].to_numpy())
        of_runs, cells_of_runs = self.seen_.cells_of(frame, same_source=True)
        of_runs, cells_of_runs = by_length(of_runs, cells_of_runs, place[LENGTH].to_numpy())
        asked, of_known = (list(zip(*(of[name] for name in of), strict=True)) for of in (cells, cells_of_runs))
        places = {cell: place for place, cell in enumerate(asked)}
        position = np.array([places.setdefault(cell, len(places)) for cell in of_known], dtype=np.intp)
        distinct = pd.DataFrame(list(places), columns=cells.columns)
        return KnownRuns(context.target, position[of_runs], context.log_tokens), distinct

    def follows_own(self, codes: Codes, cells: pd.DataFrame) -> Mask:
        """Requests, as `seen_` places them, whose forecast reads what own texts have taught; shape (n_requests,)."""
        lines = [self._line(cell) for cell in as_cells(cells)]
        return np.array([line is not None and line.is_own for line in lines], dtype=bool)[codes]

    def _line(self, cell: Cell) -> _TextLine | None:
        """How queries follow their texts in a cell: as those of its benchmark do; about texts at large where nothing is
        known of its source; None where a benchmark of a known source is new."""
        line = self.lines_.get(cell[:2])
        if line is None and self.texts_ is not None and cell[0] not in self.seen_.sources:
            centre, variance = self.texts_.elsewhere.tolist()
            return _TextLine(centre, variance, LEVEL_SLOPE, LEVEL_SLOPE_SD, is_own=False)
        return line

    def _expected(
        self, X: pd.DataFrame, cells: pd.DataFrame, codes: Codes, own: Floats | None, *, everywhere: bool = False
    ) -> Floats:
        """Log tokens that each text makes one expect: by what public prompts have taught on benchmarks of which no own
        texts were learnt from, and there only where a line is known, or `everywhere`."""
        text = np.full(len(X), np.nan) if own is None else own.copy()
        if self.texts_ is None or "prompt_text" not in X:
            return text
        lines = [self._line(cell) for cell in as_cells(cells)]
        is_public = np.array([everywhere if line is None else not line.is_own for line in lines], dtype=bool)[codes]
        rows = is_public & X["prompt_text"].notna().to_numpy()
        text[is_public] = np.nan
        if rows.any():
            of_row, distinct = pd.factorize(X.loc[rows, "prompt_text"])
            text[rows] = self.texts_.of(distinct.astype(str).tolist())[of_row]
        return text

    def _prior(self, cells: pd.DataFrame, codes: Codes, text: Floats) -> QueryPrior:
        """What texts say, on benchmarks that a line is known of; nothing elsewhere."""
        nothing = _TextLine(0.0, 0.0, 0.0, 0.0)
        lines = [self._line(cell) or nothing for cell in as_cells(cells)]
        parts = [(line.centre, line.variance, line.slope, line.slope_sd) for line in lines]
        centre, variance, slope, sd = np.array(parts).reshape(-1, 4)[codes].T
        is_read = ~np.isnan(text)
        away = np.where(is_read, text - centre, 0.0)
        return QueryPrior(codes, slope * away, (sd * away) ** 2, np.where(is_read, slope**2 * variance, 0.0))

    def _completed(self, anchors: Anchors, cells: pd.DataFrame, prior: QueryPrior) -> Floats:
        """Log tokens of anchors; of those that were cut off what is to be expected beyond."""
        y, cut = anchors.log_tokens, anchors.is_censored
        if not cut.any():
            return y
        asked = forecast_requests(self.forecaster_.forecast(cells), prior)
        return np.where(cut, beyond(y, asked.centre, asked.variance), y)

    def _take_in_unseen_runs(self, cells: pd.DataFrame, anchors: Anchors, codes: Codes, runs: KnownRuns | None) -> None:
        """Take known runs in cells that nothing is known of, and that no anchor is in, for anchors too, in place."""
        if runs is None:
            return
        is_new = np.array([cell not in self.seen_.n_runs for cell in as_cells(cells)], dtype=bool)
        is_new[codes] = False
        new = is_new[runs.cell]
        if new.any():
            zero, of_runs = np.zeros(int(new.sum())), runs.cell[new]
            forecasts, query = self.forecaster_.forecast(cells), anchors.query[runs.target[new]]
            y = runs.log_tokens[new]
            self._take_in(cells, of_runs, summarise_anchors(cells, forecasts, of_runs, query, y, zero, zero))

    def _learn_slopes(self, anchors: pd.DataFrame) -> None:
        """Update the slope on the text of each benchmark, in place, by anchors that no other run explains.

        Columns are those of their cells, `cell` (its position), log tokens `y`, `text`, and `noise`, the variance of a
        run about the mean of the cell.
        """
        for (source, benchmark), rows in anchors.groupby(["source", "benchmark"]):
            key = str(source), str(benchmark)
            line, noise = self.lines_[key], rows["noise"].to_numpy()
            away = (rows[["y", "text"]] - rows.groupby("cell")[["y", "text"]].transform("mean")).to_numpy()
            precision = line.slope_sd**-2 + float((away[:, 1] ** 2 / noise).sum())
            mean = line.slope * line.slope_sd**-2 + float((away.prod(axis=1) / noise).sum())
            self.lines_[key] = replace(line, slope=mean / precision, slope_sd=precision**-0.5)

    # -- persistence ---------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores what was learnt."""
        forecaster, arrays = self.before_.state()
        anchors = None
        if self.anchors_ is not None:
            anchors, more = self.anchors_.state()
            arrays = arrays | {f"anchors.{name}": values for name, values in more.items()}
        lines = [[*key, *vars(line).values()] for key, line in self.lines_.items()]
        state = {"seen": self.seen_.state(), "forecaster": forecaster, "lines": lines, "anchors": anchors}
        if self.texts_ is not None:
            arrays = arrays | self.texts_.state()
        return {**state, "lengths": self.lengths_.state()}, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Self:
        """Restore what `state` returned."""
        of_anchors = {key.removeprefix("anchors."): a for key, a in arrays.items() if key.startswith("anchors.")}
        unseen = cls()
        unseen.seen_ = SeenCells.from_state(state["seen"])
        unseen.before_ = unseen.forecaster_ = ShiftForecaster.from_state(state["forecaster"], dict(arrays))
        unseen.lengths_ = PromptLengths.from_state(state["lengths"])
        unseen.lines_ = {(source, name): _TextLine(*line) for source, name, *line in state["lines"]}
        unseen.texts_ = TextEffects.from_state(arrays)
        unseen.anchors_ = None
        if state["anchors"] is not None:
            unseen.anchors_ = CellTable.from_state(state["anchors"], of_anchors)
            unseen.forecaster_ = unseen.before_.joined(unseen.anchors_)
        return unseen


def _summarised(
    frame: pd.DataFrame, log_tokens: Floats, is_censored: Mask, query: NDArray[np.object_], at_most: int
) -> CellTable:
    """The cells of runs, those of most queries where there are more than `at_most`.

    Read are runs that were not cut off, in cells that seldom are, at most `MAX_RUNS` of each.
    """
    codes, _ = pd.factorize(cell_keys(frame, CELL))
    share = np.bincount(codes, is_censored) / np.bincount(codes)
    keep = ~is_censored & (share <= MAX_CAPPED)[codes]
    if not keep.any():
        keep = ~is_censored
    back = pd.Series(codes[keep]).groupby(codes[keep]).cumcount(ascending=False).to_numpy()
    keep[np.flatnonzero(keep)] = back < MAX_RUNS
    table = summarise_cells(frame[keep].reset_index(drop=True), log_tokens[keep], query[keep])
    if len(table) > at_most:
        table = table.take(np.sort(np.argsort(-table.n_queries, kind="stable")[:at_most]))
    return table


def _text_lines(frame: pd.DataFrame, query: NDArray[Any], text: Floats) -> dict[tuple[str, str], _TextLine]:
    """Mean and variance of what the texts of each benchmark make one expect, its queries counted once."""
    rows = frame[["source", "benchmark"]].assign(query=query, text=text).dropna(subset="text")
    texts = rows.drop_duplicates(["source", "benchmark", "query"]).groupby(["source", "benchmark"])["text"]
    parts = texts.agg(["mean", "var"]).fillna(0.0)
    return {
        (str(source), str(benchmark)): _TextLine(float(mean), float(variance))
        for (source, benchmark), mean, variance in zip(parts.index, parts["mean"], parts["var"], strict=True)
    }


def public_line(texts: TextEffects, centre: float, variance: float) -> _TextLine:
    """How queries of a benchmark follow what public prompts make one expect, before any of them is known."""
    return _TextLine(centre, variance, texts.slope, texts.slope_sd, is_own=False)
